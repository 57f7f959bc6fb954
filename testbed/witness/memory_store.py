# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reads the memory stream of a store (docs/formats/store.md) with pyarrow."""
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .access import Verdict
from .store import GAP, Boot

READ, WRITE, READ_WRITE, EXECUTE, PAGE = "memory_read", "memory_write", "memory_read_write", "memory_execute", "memory_page"
MODE, REGION, ARMED, DISARMED = "memory_mode", "memory_region", "memory_armed", "memory_disarmed"
SWEEP_BEGIN, SWEEP_END, SCANNED = "memory_sweep_begin", "memory_sweep_end", "memory_scanned"
ACCESSES = (READ, WRITE, READ_WRITE, EXECUTE)
PAGE_WALK, ZERO_CONTENT, BY_SCAN, BY_DEVICE = 1 << 10, 1 << 11, 1 << 12, 1 << 13
PAGE_BYTES = 4096
MODE_NUMBERS = {"access": 1, "written": 2, "snapshot": 3, "watch": 4}


@dataclass(frozen=True, slots=True)
class MemoryRow:
    seq: int
    time_ns: int
    kind: str
    address: int
    length: int
    source: int = 0
    entropy: float | None = None
    flags: int = 0
    content: bytes | None = None
    slot: int = 0
    page_class: int = 0
    request: str | None = None

    @property
    def page(self) -> int:
        return self.address // PAGE_BYTES

    @property
    def asked(self) -> dict[str, Any]:
        """The request of a row of kind memory_mode."""
        return json.loads(self.request or "{}")

    def covers(self, page: int) -> bool:
        """For rows that speak of a range."""
        return self.address <= page * PAGE_BYTES < self.address + self.length


def record_files(boot: Boot) -> list[Path]:
    return sorted(boot.folder.glob("stream=memory/date=*/*.parquet"), key=lambda path: path.name)


def read_rows(boot: Boot) -> list[MemoryRow]:
    """All rows in sequence order; each millions of rows take some 500 MB."""
    rows = [row for path in record_files(boot) for row in _read_file(path)]
    rows.sort(key=lambda row: row.seq)
    return rows


def _read_file(path: Path) -> Iterator[MemoryRow]:
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    table = parquet.read_table(path, partitioning=None)
    names = ("kind", "address", "length", "source", "entropy", "flags", "content", "slot", "page_class", "request")
    columns = [table[name].to_pylist() for name in names]
    for seq, time_ns, *values in zip(table["seq"].to_pylist(), compute.cast(table["time"], "int64").to_pylist(), *columns):
        yield MemoryRow(seq, time_ns, *values)


def accounted(rows: Sequence[MemoryRow]) -> Verdict:
    """Every sequence number once; gaps are told, as the stream may drop records when its buffer is full."""
    verdict = Verdict("the memory stream accounts for every record")
    expected, lost = 0, 0
    wrong: list[str] = []
    for row in rows:
        if row.seq != expected:
            wrong.append(f"seq {row.seq} where {expected} was expected")
        lost += row.length if row.kind == GAP else 0
        expected = row.seq + (row.length if row.kind == GAP else 1)
    verdict.differences("faults", wrong)
    verdict.require(bool(rows), "there are no records")
    verdict.fact(f"{len(rows)} rows, {lost} records in gaps")
    return verdict


def complete(rows: Sequence[MemoryRow]) -> Verdict:
    """The same, and no gaps."""
    verdict = accounted(rows)
    verdict.differences("gaps", gaps(rows))
    return verdict


def gaps(rows: Sequence[MemoryRow]) -> list[str]:
    return [f"{row.length} records at seq {row.seq}" for row in rows if row.kind == GAP]


def of_mode(rows: Sequence[MemoryRow], mode: str, time: int = 0) -> list[MemoryRow]:
    """The rows from the mode's start, the first or a later one, on to its stop (or the end)."""
    number = MODE_NUMBERS[mode]
    marks = [(index, row.asked.get("action")) for index, row in enumerate(rows) if row.kind == MODE and row.source == number]
    starts = [index for index, action in marks if action == "start"]
    if time >= len(starts):
        return []
    start = starts[time]
    stop = next((index for index, action in marks if action == "stop" and index > start), len(rows))
    return list(rows[start:stop])


def first_of_mode(boot: Boot, mode: str) -> list[MemoryRow]:
    """of_mode of a long run, of which no more is read than is needed. Files are in the order of their records."""
    rows: list[MemoryRow] = []
    for path in record_files(boot):
        rows += _read_file(path)
        if any(row.kind == MODE and row.source == MODE_NUMBERS[mode] and row.asked.get("action") == "stop" for row in rows):
            break
    rows.sort(key=lambda row: row.seq)
    return of_mode(rows, mode)
