# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the sensor costs on VT-x and on SVM, by the same workload on the same kind of disk (PIIX3 IDE), counted outside
the machine. Both machines count their time in instructions and wait for the collector: Bochs's run is the same every time, to the
instruction; QEMU's, whose devices work beside the processor, differs by a little."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from . import bochs_rig, rig
from .access import WRITE
from .bochs_counts import Cpu, between, read_counts
from .qemu_trace import LBA28, LBA48
from .rig import RigError, Run

REST_SECONDS = 10
COMMANDS_BEGIN, COMMANDS_END, SHORT_REST, LONG_REST, END = 3, 4, 5, 6, 7
DATA = (1, 0)  # channel, drive, in Bochs
WORKLOAD = str(Path(__file__).resolve().parent / "workloads/figures.sh")
SETTINGS = {"REST_SECONDS": str(REST_SECONDS)}
# Nothing is left to chance: sends wait for the collector's answer, and the kernel takes no addresses by lot.
VMX = bochs_rig.Setup(WORKLOAD, "uefi", settings=SETTINGS, config={"policy": "drop", "mode": "header"},
                      kernel_options="nokaslr norandmaps random.trust_cpu=off", waits=True)
SVM = rig.Setup(WORKLOAD, settings=SETTINGS, mode="header", policy="drop", disk_bus="ide", disk_bytes=16 << 20, log_writes=False,
                count_instructions=True, guest_programs=("mark",), waits=True, accelerator="icount")
_MARK = re.compile(r"undercroft-probe: mark (\d+) vmruns (\d+) instructions (\d+)")
_COMMAND = re.compile(r"ide_ioport_write IDE PIO wr @ 0x(?:1f7|177) \([^)]*\); val 0x([0-9a-f]+)")


@dataclass(frozen=True)
class Phase:
    """Exits, and instructions executed in the sensor."""

    exits: int
    instructions: int


@dataclass(frozen=True)
class Phases:
    commands: Phase
    rest: Phase  # of REST_SECONDS, without what starting a program costs
    issued: int  # disk writes in `commands`

    def figures(self, vendor: str) -> dict[str, float]:
        if not self.issued or not self.commands.exits:
            raise RigError(f"{self.issued} disk commands and {self.commands.exits} exits were counted: there is nothing to divide")
        return {
            f"{vendor}_exits_per_ide_dma_command": self.commands.exits / self.issued,
            f"{vendor}_instructions_per_exit": self.commands.instructions / self.commands.exits,
            f"{vendor}_instructions_per_ide_dma_command": self.commands.instructions / self.issued,
            f"{vendor}_exits_per_idle_second": self.rest.exits / REST_SECONDS,
            f"{vendor}_instructions_per_idle_second": self.rest.instructions / REST_SECONDS,
        }


def of_vmx(run: Run) -> Phases:
    counts = read_counts(run.folder / "machine" / "counts.jsonl")
    first, last = counts.command_positions[COMMANDS_BEGIN], counts.command_positions[COMMANDS_END]
    issued = sum(command.access is not None and command.access.kind == WRITE and (command.channel, command.drive) == DATA
                 for command in counts.commands[first:last])
    rest = _less(_sum(between(counts, LONG_REST, END)), _sum(between(counts, SHORT_REST, LONG_REST)))
    return Phases(_sum(between(counts, COMMANDS_BEGIN, COMMANDS_END)), rest, issued)


def _sum(cpus: list[Cpu]) -> Phase:
    return Phase(sum(cpu.all_exits for cpu in cpus), sum(cpu.root for cpu in cpus))


def of_svm(run: Run) -> Phases:
    """QEMU's log has the probe's marks and the IDE registers' writes in their order; the data disk is alone on its controller."""
    at: dict[int, Phase] = {}
    issued = 0
    for line in run.qemu_log.read_text(errors="replace").splitlines():
        if mark := _MARK.search(line):
            at[int(mark[1])] = Phase(int(mark[2]), int(mark[3]))
        elif (command := _COMMAND.search(line)) and COMMANDS_BEGIN in at and COMMANDS_END not in at:
            issued += {**LBA28, **LBA48}.get(int(command[1], 16)) == WRITE
    missing = {COMMANDS_BEGIN, COMMANDS_END, SHORT_REST, LONG_REST, END} - set(at)
    if missing:
        raise RigError(f"marks {sorted(missing)} are missing in {run.qemu_log}")
    rest = _less(_less(at[END], at[LONG_REST]), _less(at[LONG_REST], at[SHORT_REST]))
    return Phases(_less(at[COMMANDS_END], at[COMMANDS_BEGIN]), rest, issued)


def _less(end: Phase, begin: Phase) -> Phase:
    return Phase(end.exits - begin.exits, end.instructions - begin.instructions)
