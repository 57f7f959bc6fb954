# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the sensor costs on VT-x, to the instruction: a run in Bochs is the same every time."""
from __future__ import annotations

from pathlib import Path

from .access import WRITE
from .bochs_counts import Counts, Cpu, between, read_counts
from .bochs_rig import Setup
from .rig import RigError, Run

REST_SECONDS = 2
COMMANDS_BEGIN, REST_BEGINS, REST_ENDS = 3, 4, 5
DATA = (1, 0)  # channel, drive
WORKLOAD = str(Path(__file__).resolve().parent / "workloads/bochs_figures.sh")
PATIENCE_MS = 2000
# Nothing is left to chance: sends wait for the collector's answer, and the kernel takes no addresses by lot.
SETUP = Setup(WORKLOAD, "uefi", settings={"REST_SECONDS": str(REST_SECONDS)}, config={"policy": "drop", "mode": "header"},
              kernel_options="nokaslr norandmaps random.trust_cpu=off", peer_patience_ms=PATIENCE_MS)


def figures(run: Run) -> dict[str, float]:
    counts = read_counts(run.folder / "machine" / "counts.jsonl")
    commands, rest = _sum(between(counts, COMMANDS_BEGIN, REST_BEGINS)), _sum(between(counts, REST_BEGINS, REST_ENDS))
    issued = _disk_writes(counts)
    if not issued or not commands[0]:
        raise RigError(f"{issued} disk commands and {commands[0]} exits were counted: there is nothing to divide")
    return {
        "vmx_exits_per_ide_dma_command": round(commands[0] / issued, 3),
        "vmx_instructions_per_exit": round((commands[1] + rest[1]) / (commands[0] + rest[0]), 1),
        "vmx_instructions_per_ide_dma_command": round(commands[1] / issued, 1),
        "vmx_exits_per_idle_second": round(rest[0] / REST_SECONDS, 2),
        "vmx_instructions_per_idle_second": round(rest[1] / REST_SECONDS, 1),
    }


def _sum(cpus: list[Cpu]) -> tuple[int, int]:
    """Exits, and instructions executed in the sensor."""
    return sum(cpu.all_exits for cpu in cpus), sum(cpu.root for cpu in cpus)


def _disk_writes(counts: Counts) -> int:
    first, last = counts.command_positions[COMMANDS_BEGIN], counts.command_positions[REST_BEGINS]
    return sum(command.access is not None and command.access.kind == WRITE and (command.channel, command.drive) == DATA
               for command in counts.commands[first:last])
