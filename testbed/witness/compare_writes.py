# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Captured writes, flushes and trims against QEMU's blklogwrites log of the same disk.

What is checked, none of it weakened by tolerances:
 1. Same commands: each (kind, lba, bytes, content) occurs as often in the store as in the log;
    content is SHA-256 over the SHA-256 of all 4 KiB blocks, so equality is byte for byte.
 2. Same flush epochs: the commands between two flushes that took effect are the same on both sides.
 3. Same order where order matters: each write or trim overwrites the same earlier ones on both sides,
    sector by sector; hence every intermediate content of every sector is the same.
The log holds entries in order of completion and queued commands may complete in any order, so
within an epoch the order of commands that do not overlap is not compared here; the command trace
(read_trace.py) compares the full order of issue.

Two properties of QEMU, both exact rules and not tolerances:
 - a flush with nothing written since the last one is not passed down, so it is not in the log. Both sides are
   therefore cut at flushes and empty epochs left out; the command trace counts every flush.
 - a trim is logged per range; ranges of no length are not logged and not recorded.
"""
from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from .blklogwrites import Flag, Log
from .access import FLUSH, TRIM, WRITE, Access, Verdict, compare_multisets, content_of


def accesses_of_log(log: Log, with_content: bool = True) -> list[Access]:
    found: list[Access] = []
    for entry in log:
        if entry.flags & Flag.MARK:
            continue
        if entry.flags & Flag.FLUSH:
            found.append(Access(FLUSH, 0, 0))
        if entry.flags & Flag.DISCARD:
            found.append(Access(TRIM, entry.lba, entry.bytes))
        elif entry.bytes:
            content = content_of(entry.block_hashes()) if with_content else None
            found.append(Access(WRITE, entry.lba, entry.bytes, content))
    return found


def epochs(accesses: Iterable[Access]) -> list[list[Access]]:
    """Cut at flushes, empty epochs left out."""
    found: list[list[Access]] = [[]]
    for access in accesses:
        if access.kind == FLUSH:
            found.append([])
        else:
            found[-1].append(access)
    return [epoch for epoch in found if epoch]


def overwritten(accesses: Sequence[Access], sectors: int) -> list[tuple[Access, int, frozenset[tuple[Access, int]]]]:
    """For each command (named by itself and its how-many-th occurrence) the commands whose sectors it overwrites."""
    last = array("i", [-1]) * sectors
    names: list[tuple[Access, int]] = []
    occurrences: dict[Access, int] = {}
    found = []
    for index, access in enumerate(accesses):
        occurrence = occurrences.get(access, 0)
        occurrences[access] = occurrence + 1
        names.append((access, occurrence))
        count = access.bytes // 512
        covered = slice(access.lba, access.lba + count)
        before = frozenset(names[earlier] for earlier in set(last[covered]) if earlier >= 0)
        found.append((access, occurrence, before))
        last[covered] = array("i", [index]) * count
    return found


def compare(captured: Sequence[Access], logged: Sequence[Access]) -> Verdict:
    """`captured`: the store's writes, flushes and trims of the disk in sequence order."""
    verdict = Verdict("writes against blklogwrites")
    store_epochs, log_epochs = epochs(captured), epochs(logged)
    store_all = [access for epoch in store_epochs for access in epoch]
    log_all = [access for epoch in log_epochs for access in epoch]
    for name, accesses in (("store", store_all), ("log", log_all)):
        writes = [access for access in accesses if access.kind == WRITE]
        trims = len(accesses) - len(writes)
        verdict.fact(f"{name}: {len(writes)} writes of {sum(access.bytes for access in writes)} bytes, {trims} trim ranges")
    compare_multisets(verdict, "the store", store_all, "the log", log_all)
    if not verdict.ok:
        return verdict
    _compare_epochs(verdict, store_epochs, log_epochs)
    _compare_overlaps(verdict, store_all, log_all)
    return verdict


def _compare_epochs(verdict: Verdict, store: list[list[Access]], log: list[list[Access]]) -> None:
    verdict.fact(f"{len(store)} flush epochs")
    for index, (left, right) in enumerate(zip(store, log)):
        part = Verdict(f"flush epoch {index} of {len(store)}")
        compare_multisets(part, "the store", left, "the log", right)
        if not part.ok:
            verdict.merge(part)
            return
    verdict.require(len(store) == len(log), f"{len(store)} flush epochs in the store, {len(log)} in the log")


def _compare_overlaps(verdict: Verdict, store: list[Access], log: list[Access]) -> None:
    sectors = max((access.lba + access.bytes // 512 for access in store), default=0)
    in_log = {(access, occurrence): before for access, occurrence, before in overwritten(log, sectors)}
    wrong = [f"{access} overwrites {_shown(before)} in the store, {_shown(in_log[access, occurrence])} in the log"
             for access, occurrence, before in overwritten(store, sectors) if before != in_log[access, occurrence]]
    verdict.fact(f"{sum(1 for before in in_log.values() if before)} commands overwrite earlier ones")
    verdict.differences("overlapping commands in another order", wrong)


def _shown(accesses: frozenset[tuple[Access, int]]) -> str:
    return "{" + ", ".join(sorted(f"{access}#{occurrence}" for access, occurrence in accesses)[:3]) + "}"
