# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Writes stores as docs/formats/store.md describes them, with pyarrow: the independent writer of the tests."""
from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIRST, LAST, HAS_ENTROPY, HAS_CONTENT = 1, 2, 4, 8
MACHINE = "0123456789abcdef0123456789abcdef"
BOOT = "fedcba9876543210fedcba9876543210"

SCHEMA = pa.schema(
    [
        ("seq", pa.uint64()),
        ("time", pa.timestamp("ns", tz="UTC")),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("address", pa.uint64()),
        ("length", pa.uint32()),
        ("source", pa.uint16()),
        ("entropy", pa.float32()),
        ("flags", pa.uint16()),
        ("content", pa.binary(32)),
        ("slot", pa.uint64()),
    ]
)
CONTENT_SCHEMA = pa.schema([("hash", pa.binary(32)), ("data", pa.binary())])


@dataclass
class Row:
    """One row of a record file."""

    seq: int
    time: int
    kind: str
    address: int
    length: int
    source: int = 0
    entropy: float | None = None
    flags: int = FIRST | LAST
    content: bytes | None = None
    slot: int = 0


def requests(kind: str, time: int, address: int, size: int, seq: int, source: int = 0, entropy: float | None = None) -> list[Row]:
    """The rows of one request: a write is cut at 4,096 bytes from its start."""
    step = 4096 if kind == "write" else max(size, 1)
    starts = list(range(0, size, step))
    rows = []
    for at in starts:
        flags = (FIRST if at == 0 else 0) | (LAST if at == starts[-1] else 0)
        flags |= HAS_ENTROPY if entropy is not None else 0
        rows.append(Row(seq + len(rows), time, kind, address + at // 512, min(step, size - at), source, entropy, flags))
    return rows


def record_table(rows: list[Row], schema: pa.Schema = SCHEMA) -> pa.Table:
    """The rows as an Arrow table."""
    return pa.table({name: pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in schema.names}, schema)


def write_records(store: Path, rows: list[Row], per_file: int = 100_000, boot: str = BOOT, machine: str = MACHINE,
                  schema: pa.Schema = SCHEMA) -> list[Path]:
    """Writes the rows in files of at most per_file; returns the files."""
    store.mkdir(parents=True, exist_ok=True)
    (store / "undercroft-store.json").write_text(json.dumps({"format": 1}))
    folder = store / f"machine={machine}" / f"boot={boot}"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for start in range(0, len(rows), per_file):
        part = rows[start : start + per_file]
        date = datetime.datetime.fromtimestamp(part[0].time // 10**9, datetime.timezone.utc).date().isoformat()
        path = folder / "stream=storage" / f"date={date}" / f"{part[0].seq:020}-{part[-1].seq:020}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(record_table(part, schema), path)
        files.append(path)
    return files


def write_content(store: Path, blocks: list[bytes], per_file: int = 1000) -> dict[bytes, Path]:
    """Writes each distinct block once, in files spread over the folders; returns the file of each hash."""
    items = list({hashlib.sha256(block).digest(): block for block in blocks}.items())
    where: dict[bytes, Path] = {}
    for number, start in enumerate(range(0, len(items), per_file)):
        part = items[start : start + per_file]
        path = store / "content" / f"{number & 0xFF:02x}" / f"{number:020}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"hash": pa.array([h for h, _ in part], pa.binary(32)), "data": pa.array([d for _, d in part], pa.binary())}
        pq.write_table(pa.table(columns, CONTENT_SCHEMA), path, row_group_size=64)
        where.update({h: path for h, _ in part})
    return where
