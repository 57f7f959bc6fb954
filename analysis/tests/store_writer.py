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
MEMORY_SCHEMA = SCHEMA.append(pa.field("page_class", pa.uint8())).append(pa.field("request", pa.string()))
ZERO_CONTENT, BY_SCAN = 1 << 11, 1 << 12
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
    page_class: int = 0  # memory stream
    request: str | None = None  # memory stream


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
                  schema: pa.Schema = SCHEMA, stream: str = "storage") -> list[Path]:
    """Writes the rows in files of at most per_file; returns the files."""
    store.mkdir(parents=True, exist_ok=True)
    (store / "undercroft-store.json").write_text(json.dumps({"format": 1}))
    folder = store / f"machine={machine}" / f"boot={boot}"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for start in range(0, len(rows), per_file):
        part = rows[start : start + per_file]
        date = datetime.datetime.fromtimestamp(part[0].time // 10**9, datetime.timezone.utc).date().isoformat()
        path = folder / f"stream={stream}" / f"date={date}" / f"{part[0].seq:020}-{part[-1].seq:020}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(record_table(part, schema), path)
        files.append(path)
    return files


def memory_request(mode: str, action: str = "start", begin: int = 0, size: int = 0, flags: tuple[str, ...] = ()) -> str:
    """The column `request` of a row of kind memory_mode."""
    zero = ("budget_permille", "period_us", "every_turns", "rate_kib_per_s", "thin", "delay_depth", "delay_ms")
    return json.dumps({"mode": mode, "action": action, "flags": flags, "range_begin": begin, "range_bytes": size, **dict.fromkeys(zero, 0)})


class MemoryStream:
    """Rows of the memory stream, made one after the other; time goes up by `step` ns."""

    def __init__(self, time: int, step: int = 1000) -> None:
        self.rows: list[Row] = []
        self.blocks: list[bytes] = []
        self.time, self.step = time, step

    def add(self, kind: str, address: int = 0, length: int = 0, source: int = 0, **fields: object) -> Row:
        seq = self.rows[-1].seq + (self.rows[-1].length if self.rows[-1].kind == "gap" else 1) if self.rows else 0
        self.time += self.step
        row = Row(seq, self.time, kind, address, length, source, **{"flags": 0, **fields})
        self.rows.append(row)
        return row

    def mode(self, number: int, mode: str, regions: list[tuple[int, int]], begin: int = 0, size: int = 0) -> None:
        self.add("memory_mode", 0, 48, number, request=memory_request(mode, "start", begin, size))
        for first, end in regions:
            self.add("memory_region", first, end - first)

    def page(self, address: int, data: bytes, cpu: int = 0) -> None:
        if data == bytes(4096):
            self.add("memory_page", address, 4096, cpu, flags=ZERO_CONTENT, page_class=1)
            return
        self.blocks.append(data)
        self.add("memory_page", address, 4096, cpu, flags=HAS_CONTENT, page_class=1, content=hashlib.sha256(data).digest())

    def sweep(self, number: int, pages: dict[int, bytes], incremental: bool = False, consistent: bool = False) -> None:
        self.add("memory_sweep_begin", number, int(incremental), int(consistent))
        for address, data in pages.items():
            self.page(address, data)
        self.add("memory_sweep_end", number, len(pages), int(consistent))

    def write(self, store: Path, per_file: int = 100_000) -> None:
        write_records(store, self.rows, per_file, schema=MEMORY_SCHEMA, stream="memory")
        write_content(store, self.blocks)


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
