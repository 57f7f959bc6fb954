# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reads a store (docs/formats/store.md) with pyarrow, which shares no code with the collector
but Arrow itself, and groups its records into device commands."""
from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .access import FLUSH, READ, TRIM, WRITE, Access, Verdict, content_of

FIRST, LAST, HAS_ENTROPY, HAS_CONTENT = 1 << 0, 1 << 1, 1 << 2, 1 << 3
CONTENT_UNREADABLE, SEEN_LATE, BEFORE_OS, LOST_ON_THE_WAY = 1 << 7, 1 << 8, 1 << 9, 1 << 15
GAP = "gap"


class StoreError(Exception):
    """The folder is not a store that this reader understands."""


@dataclass(frozen=True, slots=True)
class Row:
    seq: int
    time_ns: int
    kind: str
    address: int
    length: int
    source: int
    entropy: float | None
    flags: int
    content: bytes | None
    slot: int


@dataclass(slots=True)
class Command:
    """Records FIRST ... LAST of one device command. `complete` is false when a gap cut it."""

    rows: list[Row] = field(default_factory=list)
    complete: bool = False

    @property
    def source(self) -> int:
        return self.rows[0].source

    @property
    def kind(self) -> str:
        return self.rows[0].kind

    def accesses(self, with_content: bool = True) -> list[Access]:
        """One access; for a trim one per range."""
        first = self.rows[0]
        if first.kind == TRIM:
            return [Access(TRIM, row.address, row.length) for row in self.rows]
        hashes = [row.content for row in self.rows if row.content is not None]
        known = with_content and first.kind == WRITE and len(hashes) == len(self.rows)
        content = content_of(hashes) if known else None
        # A flush has no address on the wire; what the record says there does not matter.
        lba = 0 if first.kind == FLUSH else first.address
        return [Access(first.kind, lba, sum(row.length for row in self.rows), content)]


class Boot:
    """One start of one sensor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hello: dict[str, Any] = _json(folder / "hello.json")
        self.status: dict[str, Any] = _json(folder / "status.json")

    def record_files(self) -> list[Path]:
        return sorted(self.folder.glob("stream=storage/date=*/*.parquet"), key=lambda path: path.name)

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for path in self.record_files():
            rows += _read_rows(path)
        rows.sort(key=lambda row: row.seq)
        return rows

    def counters(self) -> dict[str, int]:
        """Counter totals by name from the last status datagram, summed over CPUs or ports."""
        return counters_of(self.status)


def counters_of(status: dict[str, Any]) -> dict[str, int]:
    """status.json's counters, whether written as {name: value} or as a list of entries."""
    found = status.get("counters", {})
    if isinstance(found, dict):
        return {name: sum(value) if isinstance(value, list) else int(value) for name, value in found.items()}
    totals: dict[str, int] = {}
    for entry in found:
        totals[entry["name"]] = totals.get(entry["name"], 0) + int(entry["value"])
    return totals


def boots(store: Path) -> list[Boot]:
    if not (store / "undercroft-store.json").is_file():
        raise StoreError(f"{store} has no undercroft-store.json")
    return [Boot(folder) for folder in sorted(store.glob("machine=*/boot=*")) if folder.is_dir()]


def only_boot(store: Path) -> Boot:
    found = boots(store)
    if len(found) != 1:
        raise StoreError(f"{store} holds {len(found)} boots, expected one: {[boot.folder.name for boot in found]}")
    return found[0]


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _read_rows(path: Path) -> Iterator[Row]:
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    # partitioning=None: the folder names must not become columns.
    table = parquet.read_table(path, partitioning=None)
    times = compute.cast(table["time"], "int64").to_pylist()
    names = ("kind", "address", "length", "source", "entropy", "flags", "content", "slot")
    columns = [table[name].to_pylist() for name in names]
    for seq, time_ns, *values in zip(table["seq"].to_pylist(), times, *columns):
        yield Row(seq, time_ns, *values)


def check_sequence(rows: list[Row], first: int = 0, end: int | None = None) -> Verdict:
    """Exactly once: sequence numbers rise by one without holes or repeats, gap rows counting for what they
    declare; from `first`, and up to `end` (how many records there ought to be) if given."""
    verdict = Verdict("sequence numbers")
    expected = first
    wrong: list[str] = []
    for row in rows:
        if row.seq != expected:
            kind = "repeated" if row.seq < expected else "missing without a gap row before"
            wrong.append(f"seq {row.seq} {kind}, expected {expected}")
        if row.kind == GAP and (row.address != row.seq or row.length == 0):
            wrong.append(f"gap row at seq {row.seq} says address {row.address}, length {row.length}")
        expected = row.seq + (row.length if row.kind == GAP else 1)
    verdict.differences("sequence faults", wrong)
    if end is not None:
        verdict.require(expected == end, f"the store ends before seq {expected}, {end} records ought to be accounted for")
    gaps = [row for row in rows if row.kind == GAP]
    verdict.fact(f"{len(rows) - len(gaps)} records, {len(gaps)} gap rows for {sum(row.length for row in gaps)} records")
    return verdict


def group(rows: list[Row]) -> tuple[list[Command], Verdict]:
    """Device commands in order. Faults in the FIRST/LAST marking are problems, cuts by gaps are not."""
    verdict = Verdict("grouping into commands")
    commands: list[Command] = []
    wrong: list[str] = []
    current: Command | None = None
    after_gap = False
    for row in rows:
        if row.kind == GAP:
            current, after_gap = None, True
            continue
        if row.flags & FIRST:
            if current is not None:
                wrong.append(f"seq {row.seq} begins a command inside another")
            current = Command()
            commands.append(current)
        elif current is None:
            if not after_gap:
                wrong.append(f"seq {row.seq} continues a command that never began")
            current = Command()
            commands.append(current)
        elif not _continues(current.rows[-1], row):
            wrong.append(f"seq {row.seq} ({row.kind} lba {row.address}) does not continue lba {current.rows[-1].address}")
        current.rows.append(row)
        after_gap = False
        if row.flags & LAST:
            current.complete = bool(current.rows[0].flags & FIRST)
            current = None
    if current is not None:
        wrong.append(f"the last command (from seq {current.rows[0].seq}) has no end")
    verdict.differences("marking faults", wrong)
    return commands, verdict


def _continues(before: Row, row: Row) -> bool:
    if row.kind != before.kind or row.source != before.source:
        return False
    if row.kind == TRIM:
        return True
    return row.kind == WRITE and row.address * 512 == before.address * 512 + before.length and before.length == 4096


def check_headers_only(commands: list[Command]) -> Verdict:
    """Reads, flushes and trims carry no content and no entropy."""
    verdict = Verdict("reads carry the header only")
    verdict.differences("with content or entropy", [
        f"seq {row.seq} {row.kind} flags {row.flags:#x}" for command in commands for row in command.rows
        if row.kind != WRITE and (row.content is not None or row.entropy is not None or row.flags & (HAS_CONTENT | HAS_ENTROPY))])
    verdict.fact(f"{sum(command.kind in (READ, TRIM) for command in commands)} reads and trims looked at")
    return verdict


def entropy_of(block: bytes | memoryview) -> float:
    """Shannon entropy in bits per byte, divided by 8."""
    data = bytes(block)
    if not data:
        return 0.0
    total = len(data)
    counts = [count for count in (data.count(value) for value in set(data)) if count]
    return max(0.0, -sum(count / total * math.log2(count / total) for count in counts)) / 8


def read_content(store: Path) -> tuple[dict[bytes, bytes], Verdict]:
    """All content blocks by hash. Each must hash to its name and be stored once."""
    import pyarrow.parquet as parquet

    verdict = Verdict("content blocks")
    blocks: dict[bytes, bytes] = {}
    wrong: list[str] = []
    for path in sorted((store / "content").rglob("*.parquet")):
        table = parquet.read_table(path, partitioning=None)
        for name, data in zip(table["hash"].to_pylist(), table["data"].to_pylist()):
            if hashlib.sha256(data).digest() != name:
                wrong.append(f"{path.name}: block {name.hex()[:16]} has other bytes than its hash says")
            if name in blocks:
                wrong.append(f"{path.name}: block {name.hex()[:16]} is stored more than once")
            blocks[name] = data
    verdict.differences("bad blocks", wrong)
    verdict.fact(f"{len(blocks)} distinct blocks")
    return blocks, verdict


def check_content(rows: list[Row], blocks: dict[bytes, bytes]) -> Verdict:
    """Every written block's content is in the store, of the right length, and its recorded entropy is what its
    bytes say (computed here anew)."""
    verdict = Verdict("content and entropy")
    wrong: list[str] = []
    entropies: dict[bytes, float] = {}
    checked = 0
    for row in rows:
        if row.kind != WRITE or row.content is None:
            continue
        block = blocks.get(row.content)
        if block is None:
            wrong.append(f"seq {row.seq}: block {row.content.hex()[:16]} is not in the store")
            continue
        if len(block) != row.length:
            wrong.append(f"seq {row.seq}: block has {len(block)} bytes, the record says {row.length}")
        if row.entropy is not None:
            expected = entropies.setdefault(row.content, entropy_of(block))
            if abs(expected - row.entropy) > 2 / 65535:
                wrong.append(f"seq {row.seq}: entropy {row.entropy:.6f}, its bytes have {expected:.6f}")
            checked += 1
    verdict.differences("wrong blocks", wrong)
    verdict.fact(f"{checked} blocks' entropy computed anew")
    return verdict
