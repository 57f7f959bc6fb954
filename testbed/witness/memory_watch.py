# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The watch's records against a program that touches known pages at known times (testbed/guest/touch_pages.cpp)."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .access import Verdict
from .memory_store import BY_SCAN, MemoryRow, PAGE_BYTES, READ, SCANNED, WRITE
from .memory_touch import Touched

WRITTEN_KINDS, TOUCHED_KINDS = "wbm", "rwbmx"
LEAST_LOOKED_AT = 0.9  # of the touches
LEAST_FINE = 0.25  # of the touches that were seen: told by single pages of 4 KiB
HUGE_BYTES = 2 << 20
Window = tuple[int, int]


@dataclass
class Scan:
    """Runs of pages found accessed, and what was looked at. `end_ns`: after its flush."""

    end_ns: int = 0
    runs: list[MemoryRow] = field(default_factory=list)
    looked: list[MemoryRow] = field(default_factory=list)

    def run_of(self, page: int) -> MemoryRow | None:
        """Written ones before others: a page can be in two runs when its entry's size was changed."""
        found = [row for row in self.runs if row.covers(page)]
        return min(found, key=lambda row: row.kind != WRITE) if found else None

    def looks_at(self, page: int, fine: bool) -> bool:
        return any(row.covers(page) and (not fine or page_bytes(row) == PAGE_BYTES) for row in self.looked)


def page_bytes(row: MemoryRow) -> int:
    """Of the entries that a row speaks of (wire/memory.hpp, PageClass)."""
    return HUGE_BYTES if row.page_class == 2 else PAGE_BYTES


def scans_of(rows: Sequence[MemoryRow]) -> list[Scan]:
    """A scan's runs come first, then what it looked at."""
    scans: list[Scan] = []
    current = Scan()
    for row in rows:
        if row.kind == SCANNED:
            current.looked.append(row)
            current.end_ns = row.time_ns
        elif row.kind in (READ, WRITE) and row.flags & BY_SCAN:
            if current.looked:
                scans.append(current)
                current = Scan()
            current.runs.append(row)
        # A scan that found nothing is told from the one before by its time.
        if row.kind == SCANNED and len(current.looked) > 1 and current.looked[-2].address >= row.address:
            last = current.looked.pop()
            current.end_ns = current.looked[-1].time_ns
            scans.append(current)
            current = Scan(last.time_ns, [], [last])
    if current.looked:
        scans.append(current)
    return scans


def windows_of(results: Sequence[dict[str, Any]], start_ns: int) -> list[Window]:
    """When each pass was made, by the sensor's clock. The guest's clock is tied to it by the mode's start, which lies
    between two words of the guest."""
    def at(name: str, value: object = None) -> float:
        return next(float(entry["guest_uptime_s"]) for entry in results if entry["name"] == name and (value is None or entry["value"] == value))

    earliest, latest = at("touched_before"), at("touched_watch")
    passes = [entry["value"] for entry in results if entry["name"] == "touched_begin"]
    return [(start_ns + int((at("touched_begin", number) - latest) * 1e9), start_ns + int((at("touched_end", number) - earliest) * 1e9)) for number in passes]


def check(rows: Sequence[MemoryRow], touched: Touched, results: Sequence[dict[str, Any]], least_fine: float = LEAST_FINE) -> Verdict:
    """`rows`: of the mode, from its start to its stop."""
    verdict = Verdict("what the watch says of known pages")
    verdict.require(not any(entry.moved for entry in touched.passes), "the guest moved pages: the run proves nothing")
    scans = scans_of(rows)
    windows = windows_of(results, rows[0].time_ns) if rows else []
    if not scans or len(windows) != len(touched.passes):
        verdict.problem(f"{len(scans)} scans, {len(windows)} passes of {len(touched.passes)}")
        return verdict
    verdict.fact(f"{len(scans)} scans, {sum(len(scan.runs) for scan in scans)} runs")
    verdict.merge(_seen(scans, touched, windows, least_fine))
    verdict.merge(_idle(scans, touched, windows))
    return verdict


def _seen(scans: list[Scan], touched: Touched, windows: list[Window], least_fine: float) -> Verdict:
    """Each touch is in the scans that looked at its page next: the bit is set at the touch or was set already by what left
    the translation, so the touch is told by the second look at the latest."""
    verdict = Verdict("touched pages")
    seen = fine = unlooked = touches = 0
    missed: list[str] = []
    for number, (window, made) in enumerate(zip(windows, touched.passes)):
        for index in made.order:
            page, kind = touched.addresses[index] // PAGE_BYTES, touched.kinds[index]
            looks = [scan for scan in scans if scan.end_ns >= window[0] and scan.looks_at(page, fine=False)]
            behind = bisect_right([scan.end_ns for scan in looks], window[1])
            touches += 1
            if behind == len(looks):
                unlooked += 1
                continue
            runs = [run for scan in looks[:behind + 2] if (run := scan.run_of(page))]
            if not runs or (kind in WRITTEN_KINDS and not any(run.kind == WRITE for run in runs)):
                missed.append(f"pass {number}: page {index} ({kind}, {touched.addresses[index]:#x}): {[run.kind for run in runs] or 'not seen'} in {behind + 2} looks")
                continue
            seen += 1
            fine += any(page_bytes(run) == PAGE_BYTES for run in runs)
    verdict.fact(f"{touches} touches: {seen} seen, {fine} of them as pages of 4 KiB; {unlooked} not looked at")
    verdict.differences("looked at and not seen", missed)
    verdict.require(touches - unlooked >= touches * LEAST_LOOKED_AT, "too few were looked at")
    verdict.require(fine >= seen * least_fine, "too few were told by single pages")
    return verdict


def _idle(scans: list[Scan], touched: Touched, windows: list[Window]) -> Verdict:
    """Pages that nobody touched between three looks in 4 KiB entries are not said to be accessed (the first two looks may
    tell of what was before), and pages that nobody ever writes are never said to be written."""
    verdict = Verdict("pages left alone")
    wrong: list[str] = []
    statements = 0
    for index, address in enumerate(touched.addresses):
        page, kind = address // PAGE_BYTES, touched.kinds[index]
        touches = windows if kind in TOUCHED_KINDS else []
        looks = [scan for scan in scans if scan.looks_at(page, fine=True)]
        for before, scan in zip(looks, looks[2:]):
            run = next((row for row in scan.runs if row.covers(page) and page_bytes(row) == PAGE_BYTES), None)
            if run and run.kind == WRITE and kind not in WRITTEN_KINDS:
                wrong.append(f"page {index} ({kind}, {address:#x}): written, says the scan of {scan.end_ns}")
            if any(begin <= scan.end_ns and end >= before.end_ns for begin, end in touches):
                continue
            statements += 1
            if run:
                wrong.append(f"page {index} ({kind}, {address:#x}): {run.kind} by the scan of {scan.end_ns}, left alone since {before.end_ns}")
    verdict.fact(f"{statements} times a page that was looked at was left alone")
    verdict.require(statements >= len(touched.addresses), "too few looks at single pages to show anything")
    verdict.differences("said to be accessed", wrong)
    return verdict
