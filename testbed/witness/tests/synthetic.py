# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Writes a small store by docs/formats/store.md, for tests of what reads stores."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from testbed.witness.store import Row

SCHEMA = pa.schema([
    ("seq", pa.uint64()), ("time", pa.timestamp("ns", tz="UTC")), ("kind", pa.string()), ("address", pa.uint64()),
    ("length", pa.uint32()), ("source", pa.uint16()), ("entropy", pa.float32()), ("flags", pa.uint16()),
    ("content", pa.binary(32)), ("slot", pa.uint64())])


def write_store(root: Path, rows: Sequence[Row], blocks: Sequence[bytes]) -> None:
    boot = root / f"machine={'0' * 32}" / f"boot={'1' * 32}"
    day = boot / "stream=storage" / "date=1970-01-01"
    content = root / "content" / "ab"
    for folder in (day, content):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "undercroft-store.json").write_text(json.dumps({"format": 1}), encoding="utf-8")
    (boot / "status.json").write_text(json.dumps({"counters": {"records_made": len(rows)}}), encoding="utf-8")
    columns = [[getattr(row, "time_ns" if name == "time" else name) for row in rows] for name in SCHEMA.names]
    table = pa.table([pa.array(column, type=kind) for column, kind in zip(columns, SCHEMA.types)], schema=SCHEMA)
    parquet.write_table(table, day / f"{rows[0].seq:020}-{rows[-1].seq:020}.parquet")
    names = [hashlib.sha256(block).digest() for block in blocks]
    parquet.write_table(pa.table({"hash": pa.array(names, pa.binary(32)), "data": pa.array(blocks, pa.binary())}), content / "0.parquet")
