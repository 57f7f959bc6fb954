# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Gaps in the store against what is really missing, to one record.

The HBA's trace (qemu_trace.py) gives every command that a sensor could see, in order of issue; cut into 4 KiB records
(wire/record.hpp) it is the list of records that ought to exist, the n-th with sequence number n. Then:
 - each stored record is the one that belongs at its sequence number (kind, lba, bytes, and for writes the content
   that blklogwrites logged);
 - the sequence numbers without a record are exactly those that gap rows declare.
Trims are left out of such runs: the trace does not tell how many ranges a command had.
"""
from __future__ import annotations

from collections.abc import Sequence

from .access import TRIM, WRITE, Access, Verdict
from .blklogwrites import Flag, Log
from .store import GAP, LOST_ON_THE_WAY, Row

Expected = tuple[int, str, int, int]  # port, kind, lba, bytes


def expected_records(taken: Sequence[tuple[int, Access]]) -> list[Expected]:
    """`taken`: (port, access) of every command that moved data, in order of issue."""
    return [(port, *piece) for port, access in taken for piece in access.cut()]


def compare(rows: Sequence[Row], expected: Sequence[Expected], made: int | None = None) -> Verdict:
    """`made`: how many records the sensor says it made (next_sequence of its last status)."""
    verdict = Verdict("gaps against what is missing")
    stored = {row.seq: row for row in rows if row.kind != GAP}
    declared = {seq for row in rows if row.kind == GAP for seq in range(row.seq, row.seq + row.length)}
    missing = set(range(len(expected))) - stored.keys()
    verdict.fact(f"{len(expected)} records expected, {len(stored)} stored, {len(declared)} declared missing")
    on_the_way = sum(row.length for row in rows if row.kind == GAP and row.flags & LOST_ON_THE_WAY)
    verdict.fact(f"of these {on_the_way} lost between sensor and store")
    verdict.require(made is None or made == len(expected), f"the sensor made {made} records, {len(expected)} were expected")
    verdict.differences("missing but not declared", [f"seq {seq}: {_shown(expected[seq])}" for seq in sorted(missing - declared)])
    verdict.differences("declared missing but stored", [f"seq {seq}: {_row(stored[seq])}" for seq in sorted(declared & stored.keys())])
    verdict.differences("beyond what the HBA was given", [f"seq {seq}" for seq in sorted((stored.keys() | declared) - set(range(len(expected))))])
    verdict.differences("not the record that belongs there", [
        f"seq {seq}: {_row(row)}, expected {_shown(expected[seq])}" for seq, row in sorted(stored.items())
        if seq < len(expected) and _matchable(row, expected[seq]) != expected[seq]])
    return verdict


def compare_content(rows: Sequence[Row], log: Log, source: int) -> Verdict:
    """Every stored 4 KiB block of the logged disk is one that was written there. Where a place was written more
    than once any of those contents is accepted: with gaps it cannot be told which of them is stored."""
    verdict = Verdict("stored blocks against blklogwrites")
    written: dict[int, set[bytes]] = {}
    for entry in log:
        if not entry.flags & (Flag.DISCARD | Flag.MARK):
            for number, name in enumerate(entry.block_hashes()):
                written.setdefault(entry.lba + number * 8, set()).add(name)
    looked_at = [row for row in rows if row.kind == WRITE and row.source == source and row.content is not None]
    verdict.fact(f"{len(looked_at)} blocks looked at")
    verdict.differences("never written there", [f"{_row(row)} content {row.content.hex()[:16]}" for row in looked_at
                                                if row.content and row.content not in written.get(row.address, set())])
    return verdict


def no_trims(taken: Sequence[tuple[int, Access]]) -> bool:
    return all(access.kind != TRIM for _, access in taken)


def _matchable(row: Row, expected: Expected) -> Expected:
    lba = row.address if row.length else expected[2]  # a flush has no address
    return (row.source & 0xFF, row.kind, lba, row.length)


def _row(row: Row) -> str:
    return f"port {row.source & 0xFF} {row.kind} lba {row.address} bytes {row.length}"


def _shown(expected: Expected) -> str:
    port, kind, lba, size = expected
    return f"port {port} {kind} lba {lba} bytes {size}"
