# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reads what probe/bochs_counter.c saw in Bochs: exits, instructions, CPU modes and ATA commands."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .access import FLUSH, READ, WRITE, Access

MODES = ("outside", "root", "guest")
LBA28 = {0x20: READ, 0x21: READ, 0xC4: READ, 0xC8: READ, 0x30: WRITE, 0x31: WRITE, 0xC5: WRITE, 0xCA: WRITE}
LBA48 = {0x24: READ, 0x25: READ, 0x29: READ, 0x34: WRITE, 0x35: WRITE, 0x39: WRITE, 0x3D: WRITE}
FLUSHES = (0xE7, 0xEA)
SECTOR = 512
# Intel SDM, appendix C.
REASONS = {0: "exception_or_nmi", 1: "external_interrupt", 7: "interrupt_window", 8: "nmi_window", 10: "cpuid", 12: "hlt", 18: "vmcall",
           28: "control_register", 29: "debug_register", 30: "io", 31: "rdmsr", 32: "wrmsr", 36: "mwait", 40: "pause", 44: "apic_access",
           48: "ept_violation", 49: "ept_misconfiguration", 52: "preemption_timer", 55: "xsetbv"}


class CountError(Exception):
    """The counter's file is not complete."""


@dataclass(frozen=True)
class Cpu:
    """A CPU's totals since it was switched on. `root` is the sensor, `guest` what runs beneath it."""

    mode: str
    outside: int
    root: int
    guest: int
    entries: int
    entry_failures: int
    exits: dict[int, int]

    @property
    def all_exits(self) -> int:
        return sum(self.exits.values())


@dataclass(frozen=True)
class AtaCommand:
    """A write to a command register. `mode`: where the CPU was that wrote."""

    channel: int
    drive: int
    command: int
    mode: str
    access: Access | None  # None: no transfer of sectors


@dataclass(frozen=True)
class Counts:
    marks: dict[int, list[Cpu]]
    end: list[Cpu]
    commands: list[AtaCommand]  # in order
    command_positions: dict[int, int]  # mark: how many commands came before it


def read_counts(path: Path) -> Counts:
    marks: dict[int, list[Cpu]] = {}
    end: list[Cpu] = []
    commands: list[AtaCommand] = []
    positions: dict[int, int] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise CountError(f"{path} breaks off: Bochs did not end by itself") from error
        if "ata" in value:
            commands.append(_command(value))
        elif "mark" in value:
            marks[value["mark"]] = [_cpu(entry) for entry in value["cpus"]]
            positions[value["mark"]] = len(commands)
        else:
            end = [_cpu(entry) for entry in value["cpus"]]
    if not end:
        raise CountError(f"{path} has no last line: Bochs did not end by itself")
    return Counts(marks, end, commands, positions)


def _cpu(entry: dict[str, object]) -> Cpu:
    exits = {int(reason): int(count) for reason, count in dict(entry["exits"]).items()}  # type: ignore[call-overload]
    return Cpu(str(entry["mode"]), *(int(str(entry[name])) for name in (*MODES, "entries", "entry_failures")), exits)


def _command(value: dict[str, object]) -> AtaCommand:
    code, device = int(str(value["command"])), int(str(value["device"]))
    count, lba = value["count"], value["lba"]
    assert isinstance(count, list) and isinstance(lba, list)
    access = None
    if code in LBA28:
        address = lba[0] | lba[1] << 8 | lba[2] << 16 | (device & 15) << 24
        access = Access(LBA28[code], address, (count[0] or 256) * SECTOR)
    elif code in LBA48:
        address = sum(byte << 8 * at for at, byte in enumerate(lba))
        access = Access(LBA48[code], address, ((count[0] | count[1] << 8) or 65536) * SECTOR)
    elif code in FLUSHES:
        access = Access(FLUSH, 0, 0)
    return AtaCommand(int(str(value["ata"])), int(str(value["drive"])), code, MODES[int(str(value["mode"]))], access)


def between(counts: Counts, first: int, last: int) -> list[Cpu]:
    """What happened on each CPU from mark to mark."""
    result = []
    for before, after in zip(counts.marks[first], counts.marks[last]):
        exits = {reason: count - before.exits.get(reason, 0) for reason, count in after.exits.items()}
        result.append(Cpu(after.mode, after.outside - before.outside, after.root - before.root, after.guest - before.guest,
                          after.entries - before.entries, after.entry_failures - before.entry_failures,
                          {reason: count for reason, count in exits.items() if count}))
    return result


def named(exits: dict[int, int]) -> str:
    return ", ".join(f"{REASONS.get(reason, str(reason))} {count}" for reason, count in sorted(exits.items(), key=lambda item: -item[1]))
