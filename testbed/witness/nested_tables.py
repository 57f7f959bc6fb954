# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reads nested page tables out of raw physical memory, as the processor would: Intel's EPT and AMD's NPT.

Written from the vendors' manuals (Intel SDM, "The Extended Page Table Mechanism (EPT)"; AMD APM volume 2, "Nested
Paging" and "Page-Translation-Table Entry Fields"), not from the sensor's own code, whose tables it judges."""
from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PAGE = 4096
LEVELS = 4
ENTRIES = 512
MOST_TABLES = 100_000  # a table that points to itself has no end
UNCACHEABLE, WRITE_COMBINING, WRITE_THROUGH, WRITE_PROTECTED, WRITE_BACK = 0, 1, 4, 5, 6
TYPE_NAMES = {UNCACHEABLE: "UC", WRITE_COMBINING: "WC", WRITE_THROUGH: "WT", WRITE_PROTECTED: "WP", WRITE_BACK: "WB"}


class TableError(Exception):
    """The tables cannot be read: they lead out of the dump or never end."""


class Memory:
    """A dump of physical memory that begins at address `base`."""

    def __init__(self, path: Path, base: int = 0) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._base = base

    def page(self, address: int) -> memoryview:
        """Of 64-bit words."""
        at = address - self._base
        if address % PAGE or not 0 <= at <= len(self._bytes) - PAGE:
            raise TableError(f"{address:#x} is not in the dump")
        return memoryview(self._bytes)[at:at + PAGE].cast("Q")

    def pages(self) -> Iterator[tuple[int, memoryview]]:
        for at in range(0, len(self._bytes) - PAGE + 1, PAGE):
            yield self._base + at, memoryview(self._bytes)[at:at + PAGE].cast("Q")


@dataclass(frozen=True, slots=True)
class Leaf:
    """What one entry gives to the guest. `memory_type`: as MTRRs encode it, None where the entry leaves it open."""

    gpa: int
    bytes: int
    host: int
    read: bool
    write: bool
    execute: bool
    memory_type: int | None

    @property
    def end(self) -> int:
        return self.gpa + self.bytes

    @property
    def rights(self) -> str:
        return ("r" if self.read else "-") + ("w" if self.write else "-") + ("x" if self.execute else "-")


@dataclass(frozen=True, slots=True)
class Decoded:
    """One entry on the way: a table, a leaf, or (neither) a hole. `faults`: what the manual forbids in it."""

    present: bool = False
    leaf: bool = False
    address: int = 0
    read: bool = False
    write: bool = False
    execute: bool = False
    memory_type: int | None = None
    faults: tuple[str, ...] = ()


class Format(Protocol):
    def decode(self, entry: int, level: int) -> Decoded: ...


def _bits(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def _address(entry: int, level: int, address_bits: int) -> tuple[int, list[str]]:
    """The address in a leaf of this level (1: a page, also: any table), and what is reserved and set."""
    low = 12 + 9 * (level - 1)
    faults = []
    if address_bits < 52 and _bits(entry, 51, address_bits):
        faults.append("address above the processor's")
    if low > 12 and _bits(entry, low - 1, 13):
        faults.append("large page that is not aligned")
    return _bits(entry, 51, low) << low, faults


@dataclass(frozen=True)
class Ept:
    """No mode-based execute control, no sub-page permissions: both must be asked for in the VMCS."""

    address_bits: int
    execute_only: bool = True

    def decode(self, entry: int, level: int) -> Decoded:
        read, write, execute = (bool(entry >> bit & 1) for bit in range(3))
        if not (read or write or execute):
            return Decoded()
        leaf = level == 1 or bool(entry >> 7 & 1)
        faults = []
        if write and not read:
            faults.append("writable and not readable")
        if execute and not read and not self.execute_only:
            faults.append("execute-only, which this processor does not have")
        if level == 4 and leaf:
            faults.append("a leaf in the top table")
        memory_type = None
        if leaf:
            memory_type = _bits(entry, 5, 3)
            if memory_type not in TYPE_NAMES:
                faults.append(f"memory type {memory_type}")
            if entry >> 6 & 1:
                faults.append("ignores the guest's PAT")
            if level > 1 and entry >> 12 & 1:
                faults.append("large page that is not aligned")
        elif _bits(entry, 6, 3):
            faults.append("reserved bits of a table's entry")
        address, more = _address(entry, level if leaf else 1, self.address_bits)
        return Decoded(True, leaf, address, read, write, execute, memory_type, tuple(faults + more))


@dataclass(frozen=True)
class Npt:
    """The processor combines the guest's PAT and the MTRRs with the entry's own cache bits: without any the entry
    leaves the type open (None); with them it is reported as they stand after reset (PAT entries 0 to 3)."""

    address_bits: int

    def decode(self, entry: int, level: int) -> Decoded:
        if not entry & 1:
            return Decoded()
        leaf = level == 1 or bool(entry >> 7 & 1)
        faults = []
        if not entry >> 2 & 1:
            faults.append("not a user page: every nested access is one")
        if level == 4 and entry >> 7 & 1:
            faults.append("reserved bit of the top table")
        if leaf and entry >> (7 if level == 1 else 12) & 1:
            faults.append("PAT entries 4 to 7")
        cache = _bits(entry, 4, 3)
        if not leaf and cache:
            faults.append("a table that is not cached")
        memory_type = {0: None, 1: WRITE_THROUGH, 2: UNCACHEABLE, 3: UNCACHEABLE}[cache] if leaf else None
        address, more = _address(entry, level if leaf else 1, self.address_bits)
        return Decoded(True, leaf, address, True, bool(entry >> 1 & 1), not entry >> 63, memory_type, tuple(faults + more))


@dataclass
class Walk:
    """Everything that a root leads to."""

    leaves: list[Leaf] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)  # addresses
    faults: list[str] = field(default_factory=list)

    def holes(self, limit: int) -> list[tuple[int, int]]:
        """[begin, end) below `limit` that no leaf maps."""
        found, at = [], 0
        for leaf in self.leaves:
            if leaf.gpa > at:
                found.append((at, leaf.gpa))
            at = max(at, leaf.end)
        return found + ([(at, limit)] if at < limit else [])


def walk(memory: Memory, table_format: Format, root: int) -> Walk:
    """Leaves in rising order; rights are those that all levels agree on."""
    result = Walk()

    def table(address: int, level: int, gpa: int, above: tuple[bool, bool, bool]) -> None:
        result.tables.append(address)
        if len(result.tables) > MOST_TABLES:
            raise TableError("the tables do not end")
        for index, entry in enumerate(memory.page(address)):
            if entry == 0:
                continue
            at = gpa + (index << 12 + 9 * (level - 1))
            found = table_format.decode(entry, level)
            result.faults += [f"{at:#x} (level {level}, {entry:#x}): {fault}" for fault in found.faults]
            if not found.present:
                continue
            read, write, execute = found.read and above[0], found.write and above[1], found.execute and above[2]
            if found.leaf:
                result.leaves.append(Leaf(at, PAGE << 9 * (level - 1), found.address, read, write, execute, found.memory_type))
            else:
                table(found.address, level - 1, at, (read, write, execute))

    table(root, LEVELS, 0, (True, True, True))
    return result
