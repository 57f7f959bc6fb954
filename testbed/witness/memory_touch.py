# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The records of modes `access` and `written` against programs that touch known pages (testbed/guest/touch_pages.cpp,
hammer_pages.cpp)."""
from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from .access import Verdict
from .memory_store import (
    ACCESSES, ARMED, BY_SCAN, EXECUTE, MODE_NUMBERS, PAGE_BYTES, PAGE_WALK, READ, READ_WRITE, WRITE, ZERO_CONTENT, MemoryRow)

# What a touch of a page that was armed before gives. One instruction that loads and stores is told as both or, by
# processors that say no more of a fault than "write", as a write.
EXPECTED = {"r": [[READ]], "w": [[WRITE]], "b": [[READ, READ_WRITE]], "m": [[READ_WRITE], [WRITE], [READ, READ_WRITE]], "x": [[EXECUTE]]}
WORDS = PAGE_BYTES // 8
CLOCK_ERROR_NS = 300_000  # of the program's time stamps, as seen in the records' time


@dataclass(frozen=True)
class Pass:
    order: list[int]
    moved: list[int]


@dataclass(frozen=True)
class Touched:
    """What touch_pages said."""

    addresses: list[int]
    kinds: str
    passes: list[Pass]

    @staticmethod
    def parse(text: str) -> Touched:
        first, *others = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return Touched(first["addresses"], first["kinds"], [Pass(entry["order"], entry["moved"]) for entry in others])

    def numbers(self) -> dict[int, int]:
        """Guest-physical page number to the program's page."""
        return {address // PAGE_BYTES: index for index, address in enumerate(self.addresses)}

    def offset(self, page: int) -> int:
        return 16 * (page % 250)


def accesses_of(rows: Sequence[MemoryRow], touched: Touched) -> list[tuple[int, MemoryRow]]:
    """(page of the program, record) of accesses by instructions, page walks left out."""
    numbers = touched.numbers()
    return [(numbers[row.page], row) for row in rows if row.kind in ACCESSES and not row.flags & (PAGE_WALK | BY_SCAN) and row.page in numbers]


def _cut_into_passes(found: list[tuple[int, MemoryRow]], touched: Touched) -> list[list[tuple[int, MemoryRow]]]:
    """A pass begins with page 0 and ends with the next record of the last page."""
    passes: list[list[tuple[int, MemoryRow]]] = []
    current: list[tuple[int, MemoryRow]] | None = None
    last = len(touched.addresses) - 1
    for page, row in found:
        if current is None:
            if page != 0:
                continue
            current = []
            passes.append(current)
        current.append((page, row))
        if page == last:
            current = None
    return passes


def check_kinds(rows: Sequence[MemoryRow], touched: Touched) -> Verdict:
    """Witness of 2a: each touch in its order with its kind, and no write where nothing was written. `rows`: of the mode."""
    verdict = Verdict("pages touched in a known order with known kinds")
    verdict.require(not any(entry.moved for entry in touched.passes), "the guest moved pages: the run proves nothing")
    found = accesses_of(rows, touched)
    passes = _cut_into_passes(found, touched)
    verdict.require(len(passes) == len(touched.passes), f"{len(passes)} passes in the records, {len(touched.passes)} were made")
    armed = [row for row in rows if row.kind == ARMED and row.source == MODE_NUMBERS["access"]]
    verdict.fact(f"{len(armed)} records of arming, {len(found)} accesses to {len(touched.addresses)} known pages")
    wrong: list[str] = []
    for number, (seen, made) in enumerate(zip(passes, touched.passes)):
        wrong += [f"pass {number}: {text}" for text in _check_pass(seen, made, touched, armed)]
    verdict.differences("wrong", wrong)
    written = {page for page, row in found if row.kind in (WRITE, READ_WRITE)}
    verdict.differences("reported as written, but never written", [_shown(page, touched) for page in sorted(written) if touched.kinds[page] in "rxn"])
    return verdict


def _check_pass(seen: list[tuple[int, MemoryRow]], made: Pass, touched: Touched, armed: list[MemoryRow]) -> list[str]:
    by_page: dict[int, list[MemoryRow]] = {}
    for page, row in seen:
        by_page.setdefault(page, []).append(row)
    wrong = [f"{_shown(page, touched)}: seen although not touched" for page in by_page if page not in made.order]
    for page in made.order:
        rows = by_page.get(page, [])
        kinds = [row.kind for row in rows]
        if kinds not in EXPECTED[touched.kinds[page]] and not _armed_between(page, rows, touched, armed):
            wrong.append(f"{_shown(page, touched)}: {' '.join(kinds) or 'not seen'}")
        wrong += [f"{_shown(page, touched)}: offset {row.address % PAGE_BYTES:#x}, touched at {touched.offset(page):#x}"
                  for row in rows if row.address % PAGE_BYTES not in (0, touched.offset(page))]
    firsts = list(dict.fromkeys(page for page, _ in seen if page in made.order))
    expected = [page for page in made.order if page in by_page]
    if firsts != expected:
        at = next(index for index, (a, b) in enumerate(zip(firsts, expected)) if a != b)
        wrong.append(f"order: touch {at} was {_shown(expected[at], touched)}, the records have {_shown(firsts[at], touched)}")
    return wrong


def _armed_between(page: int, rows: list[MemoryRow], touched: Touched, armed: list[MemoryRow]) -> bool:
    """A store after a load is told as a plain write when the page was armed again in between."""
    if touched.kinds[page] not in "bm" or [row.kind for row in rows] != [READ, WRITE]:
        return False
    number = touched.addresses[page] // PAGE_BYTES
    return any(rows[0].seq < row.seq < rows[1].seq and row.covers(number) for row in armed)


def _shown(page: int, touched: Touched) -> str:
    return f"page {page} ({touched.kinds[page]}, {touched.addresses[page]:#x})"


def pattern(seed: int, number: int, page: int) -> bytes:
    """What touch_pages fill leaves in a page."""
    start = seed + (number << 48) + (page << 16)
    return struct.pack(f"<{WORDS}Q", *((start + word) & (2**64 - 1) for word in range(WORDS)))


def check_patterns(rows: Sequence[MemoryRow], blocks: dict[bytes, bytes], touched: Touched, seed: int) -> Verdict:
    """Witness of 2b: each pass's pattern of each page arrives byte for byte, and no page is copied before the write that
    it was recorded for: the word there is another one than in the copy before. (A copy may be made while the program,
    interrupted, has filled half of a page: the write that was recorded is in it, later ones are recorded again.)"""
    verdict = Verdict("written pages arrive as they are after the write")
    verdict.require(not any(entry.moved for entry in touched.passes), "the guest moved pages: the run proves nothing")
    known = {page: {pattern(seed, number, page): number for number in range(len(touched.passes))} for page in range(len(touched.addresses))}
    arrived: dict[int, set[int]] = {page: set() for page in known}
    last = {page: (-1,) * WORDS for page in known}  # number of the pass that each word is of
    whole, partly, before = 0, 0, 0
    wrong: list[str] = []
    for page, row in accesses_of(rows, touched):
        if row.kind not in (WRITE, READ_WRITE):
            continue
        if touched.kinds[page] == "n":
            wrong.append(f"seq {row.seq}: {_shown(page, touched)} was never written")
            continue
        content = bytes(PAGE_BYTES) if row.flags & ZERO_CONTENT else blocks.get(row.content or b"")
        if content is None:
            wrong.append(f"seq {row.seq}: {_shown(page, touched)} has no content")
            continue
        passes = _passes_of_words(content, seed, page)
        word = row.address % PAGE_BYTES // 8
        if passes[word] <= last[page][word] or passes[word] >= len(touched.passes):
            before += 1
            wrong.append(f"seq {row.seq}: {_shown(page, touched)} word {word} was written, the copy has it as it was before")
        if list(passes) != sorted(passes, reverse=True) or passes[0] - passes[-1] > 1:
            wrong.append(f"seq {row.seq}: {_shown(page, touched)} holds words of passes {sorted(set(passes))} in an order in which none filled it")
        last[page] = passes
        if content in known[page]:
            whole += 1
            arrived[page].add(known[page][content])
        else:
            partly += 1
    missing = [f"{_shown(page, touched)}: pass {number}" for number, entry in enumerate(touched.passes) for page in entry.order if number not in arrived[page]]
    share = before / max(1, whole + partly)
    verdict.fact(f"{whole} pages caught whole, {partly} while they were being filled; {before} before the recorded write was complete: a share of {share:.4f}")
    verdict.differences("wrong", wrong)
    verdict.differences("patterns that never arrived", missing)
    return verdict


def _passes_of_words(content: bytes, seed: int, page: int) -> tuple[int, ...]:
    """Of which pass each word is; -1: of none, as before the first."""
    def number(index: int, word: int) -> int:
        value = (word - seed - (page << 16) - index) & (2**64 - 1)
        return value >> 48 if value & 0xFFFF_FFFF_FFFF == 0 else -1

    return tuple(number(index, word) for index, word in enumerate(struct.unpack(f"<{WORDS}Q", content)))


@dataclass(frozen=True)
class Hammered:
    """What hammer_pages said."""

    addresses: list[int]
    markers: list[int]
    stores: list[int]
    moved: int
    marked: list[int]
    pauses: list[list[int]]

    @staticmethod
    def parse(text: str) -> Hammered:
        first, last = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return Hammered(first["addresses"], first["markers"], last["stores"], last["moved"], last["marked"], last["pauses"])

    def paused(self, cpu: int, page: int, times: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
        """When the CPU did not store to the page, in the records' time; `times`: (time stamp counter, time) at two moments."""
        (tick0, ns0), (tick1, ns1) = times
        scale = (ns1 - ns0) / (tick1 - tick0)
        said = self.pauses[cpu]
        return [(ns0 + (begin - tick0) * scale, ns0 + (end - tick0) * scale) for of, begin, end in zip(said[::3], said[1::3], said[2::3]) if of == page]


@dataclass(frozen=True)
class Cycle:
    """From one arming of a page to the next: when, and how often a CPU was seen to write it."""

    begin_ns: int
    end_ns: int
    writes: int


def check_shootdowns(rows: Sequence[MemoryRow], hammered: Hammered, least_cycles: int) -> Verdict:
    """In each turn each page is stored to all the time by one CPU: each whole cycle from one arming to the next has a
    write of it by that CPU. One that is missing means that the CPU still had a writable translation, unless the
    program says itself that it did not come to store anything from one arming to the next."""
    verdict = Verdict("no CPU keeps a translation of a page that was armed again")
    verdict.require(hammered.moved == 0, "the guest moved pages: the run proves nothing")
    marks = _marks(rows, hammered)
    if len(marks) != len(hammered.markers):
        verdict.problem(f"{len(marks)} of {len(hammered.markers)} turns' marks are in the records")
        return verdict
    cycles, stood = 0, 0
    missing: list[str] = []
    for turn in range(len(marks) // 2):
        first, last = marks[2 * turn], marks[2 * turn + 1]
        inside = [row for row in rows if first.seq < row.seq < last.seq]
        times = list(zip(hammered.marked[2 * turn:2 * turn + 2], (first.time_ns, last.time_ns)))
        for index, address in enumerate(hammered.addresses):
            cpu = (index + turn) % 2
            found = _cycles(inside, address // PAGE_BYTES, cpu)
            cycles += len(found)
            pauses = hammered.paused(cpu, index, times)
            without_write = _lost_cycles(found)
            lost = [at for at in without_write if not _stood_still(found[at], pauses)]
            stood += len(without_write) - len(lost)
            missing += [f"turn {turn}, cycle {at}: page {index} has no write by CPU {cpu}" for at in lost]
    verdict.fact(f"{cycles} whole cycles of {len(hammered.addresses)} pages together; {sum(hammered.stores)} stores; in {stood} the CPU stood still all the time")
    verdict.require(cycles - stood >= least_cycles, f"{cycles - stood} cycles are too few, {least_cycles} are wanted")
    verdict.differences("lost", missing)
    return verdict


def _marks(rows: Sequence[MemoryRow], hammered: Hammered) -> list[MemoryRow]:
    """The first write to each marker."""
    wanted = [address // PAGE_BYTES for address in hammered.markers]
    first: dict[int, MemoryRow] = {}
    for row in rows:
        if row.kind in (WRITE, READ_WRITE):
            first.setdefault(row.page, row)
    return [first[page] for page in wanted if page in first]


def _cycles(rows: Sequence[MemoryRow], page: int, cpu: int) -> list[Cycle]:
    """The whole cycles from one arming of the page to the next, and how often the CPU was seen to write it."""
    found: list[Cycle] = []
    begin_ns: int | None = None
    writes = 0
    for row in rows:
        if row.kind == ARMED and row.covers(page):
            if begin_ns is not None:
                found.append(Cycle(begin_ns, row.time_ns, writes))
            begin_ns, writes = row.time_ns, 0
        elif row.kind in (WRITE, READ_WRITE) and row.page == page and row.source == cpu:
            writes += 1
    return found


def _lost_cycles(cycles: Sequence[Cycle]) -> list[int]:
    """Cycles without a write. One that a CPU saw while the arming was being recorded counts for the cycle after it."""
    return [at for at, cycle in enumerate(cycles) if cycle.writes == 0 and not (at > 0 and cycles[at - 1].writes >= 2)]


def _stood_still(cycle: Cycle, pauses: Sequence[tuple[float, float]]) -> bool:
    """Armings are stamped when all translations are gone: a store after that is seen."""
    return any(begin <= cycle.begin_ns + CLOCK_ERROR_NS and end >= cycle.end_ns - CLOCK_ERROR_NS for begin, end in pauses)
