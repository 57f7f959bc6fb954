# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Every entry of the nested page tables, read out of a dump that was made outside the machine, against what the
machine has. Nothing of the tables is taken from the sensor but where their roots are, which its log says; the root in use
is checked against the VMCS (Bochs) or the VMCB (QEMU).

What is asked of both views (the guest's own, and that of a CPU which single-steps an instruction):
 - the sensor's memory and its card's registers lead nowhere, tables lie in the sensor's memory, all else leads to itself;
 - rights are those that the machine itself gives, all three, but for watched registers, where they are as narrow as the
   watch needs: there nothing is writable or executable that should not be (docs/decisions/0015-nested-rights.md);
 - memory types are those of the MTRRs (Intel; computed here once more), or left to the processor (AMD).
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .access import Verdict
from .bios_check import SYSTEM_RAM, Range
from .memory_types import Span
from .nested_tables import PAGE, TYPE_NAMES, Format, Leaf, Memory, Walk, walk

ALL = "rwx"
_REGION = re.compile(r"region (0x[0-9a-f]+) \+ (0x[0-9a-f]+)")
_ROOTS = re.compile(r"nested tables: (running 0x[0-9a-f]+, stepping .*)")
_ROOT = re.compile(r"(\w+) (0x[0-9a-f]+)")

Interval = tuple[int, int]  # [begin, end)


@dataclass(frozen=True)
class SensorLog:
    """What the sensor says of itself: claims, to be checked."""

    region: Interval
    roots: dict[str, int]

    @staticmethod
    def read(path: Path) -> SensorLog:
        text = path.read_text(errors="replace")
        region, roots = _REGION.search(text), _ROOTS.search(text)
        if not region or not roots:
            raise OSError(f"{path} names no region or no nested tables")
        begin = int(region[1], 16)
        return SensorLog((begin, begin + int(region[2], 16)), {view: int(root, 16) for view, root in _ROOT.findall(roots[1])})


@dataclass(frozen=True)
class Narrow:
    """[begin, end) has these rights, by view, instead of all; a view that is not named has those of the running one."""

    name: str
    begin: int
    end: int
    rights: dict[str, str]

    def wanted(self, view: str) -> str:
        return self.rights.get(view, self.rights["running"])


@dataclass(frozen=True)
class Expected:
    address_bits: int
    region: Interval
    card: Sequence[Interval]
    memory_map: Sequence[Range]  # as the guest was given it
    narrow: Sequence[Narrow] = ()
    # Pages in here may be closed in both views: configuration space of what the sensor guards.
    guarded: Sequence[Interval] = ()
    types: Sequence[Span] | None = None  # None: left to the processor


def check(name: str, memory: Memory, table_format: Format, roots: dict[str, int], expected: Expected) -> Verdict:
    verdict = Verdict(name)
    _check_memory_map(verdict, expected)
    if expected.types is not None:
        verdict.fact("MTRRs: " + ", ".join(f"{TYPE_NAMES.get(span.memory_type, '?')} up to {span.end:#x}" for span in expected.types))
    for view, root in roots.items():
        found = walk(memory, table_format, root)
        part = Verdict(f"view {view}")
        part.fact(f"{len(found.leaves)} entries in {len(found.tables)} tables, root {root:#x}")
        part.differences("entries that the manual forbids", found.faults)
        _check_tables(part, found, expected.region)
        _check_holes(part, found, expected)
        _check_targets(part, found)
        _check_rights(part, found, expected, view)
        _check_types(part, found, expected)
        verdict.merge(part)
    return verdict


def _show(interval: Interval) -> str:
    return f"{interval[0]:#x} ... {interval[1] - 1:#x}"


def _overlaps(leaf: Leaf, begin: int, end: int) -> bool:
    return leaf.gpa < end and begin < leaf.end


def _check_memory_map(verdict: Verdict, expected: Expected) -> None:
    begin, end = expected.region
    ram = [entry for entry in expected.memory_map if entry.kind == SYSTEM_RAM]
    verdict.require(sum(entry.end - entry.start for entry in ram) > 64 << 20, "the guest's memory map has hardly any RAM")
    offered = [entry for entry in ram if entry.start < end and begin < entry.end]
    verdict.require(not offered, f"the guest's memory map offers the sensor's memory {_show(expected.region)} as RAM")


def _check_tables(verdict: Verdict, found: Walk, region: Interval) -> None:
    outside = [f"{table:#x}" for table in found.tables if not region[0] <= table <= region[1] - PAGE]
    verdict.differences("tables outside the sensor's memory", outside)
    verdict.require(len(set(found.tables)) == len(found.tables), "a table is used twice")


def _check_holes(verdict: Verdict, found: Walk, expected: Expected) -> None:
    """Closed is exactly what has to be; whole pages of what is guarded may be closed too."""
    wanted = _joined([expected.region, *expected.card])
    holes = found.holes(1 << expected.address_bits)
    extra = [hole for hole in holes if hole not in wanted and not any(low <= hole[0] and hole[1] <= high for low, high in expected.guarded)]
    verdict.differences("closed to the guest without need", [_show(hole) for hole in extra])
    verdict.differences("open to the guest and the sensor's", [_show(one) for one in wanted if one not in holes])
    beyond = [leaf for leaf in found.leaves if leaf.end > 1 << expected.address_bits]
    verdict.differences("entries above the processor's addresses", [_show((leaf.gpa, leaf.end)) for leaf in beyond])


def _joined(intervals: Sequence[Interval]) -> list[Interval]:
    result: list[Interval] = []
    for begin, end in sorted(intervals):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


def _check_targets(verdict: Verdict, found: Walk) -> None:
    elsewhere = [f"{leaf.gpa:#x} leads to {leaf.host:#x}" for leaf in found.leaves if leaf.gpa != leaf.host]
    verdict.differences("entries that lead elsewhere", elsewhere)


def _check_rights(verdict: Verdict, found: Walk, expected: Expected, view: str) -> None:
    wrong, seen = [], set()
    for leaf in found.leaves:
        narrow = [one for one in expected.narrow if _overlaps(leaf, one.begin, one.end)]
        wanted = {one.wanted(view) for one in narrow} | (set() if narrow and _inside(leaf, narrow) else {ALL})
        seen |= {one.name for one in narrow}
        if wanted != {leaf.rights}:
            wrong.append(f"{_show((leaf.gpa, leaf.end))}: {leaf.rights}, expected {' and '.join(sorted(wanted))}")
    verdict.differences("rights", wrong)
    closed = [one.name for one in expected.narrow if one.name not in seen]
    verdict.require(not closed, f"watched registers that are not mapped: {closed}")
    counts = {name: sum(leaf.bytes for leaf in found.leaves if leaf.rights == name) for name in sorted({leaf.rights for leaf in found.leaves})}
    verdict.fact("rights: " + ", ".join(f"{name} {size >> 10} KiB" for name, size in counts.items()))


def _inside(leaf: Leaf, narrow: Sequence[Narrow]) -> bool:
    return any(one.begin <= leaf.gpa and leaf.end <= one.end for one in narrow)


def _check_types(verdict: Verdict, found: Walk, expected: Expected) -> None:
    if expected.types is None:
        verdict.differences("memory types that are not left to the processor",
                            [f"{leaf.gpa:#x}: {leaf.memory_type}" for leaf in found.leaves if leaf.memory_type is not None])
        return
    wrong = []
    for leaf in found.leaves:
        wanted = {span.memory_type for span in expected.types if span.begin < leaf.end and leaf.gpa < span.end}
        if wanted != {leaf.memory_type}:
            wrong.append(f"{_show((leaf.gpa, leaf.end))}: {TYPE_NAMES.get(leaf.memory_type or 0)}, "
                         f"the MTRRs have {' and '.join(sorted(TYPE_NAMES.get(one, str(one)) for one in wanted))}")
    verdict.differences("memory types", wrong)
