# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The EPT of a run in Bochs against that machine (nested_check.py): from memory and registers that the counter's library
took out of Bochs itself before the first VM entry ("start") and when the workload began ("booted")."""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import nested_check
from .access import Verdict
from .bios_check import Range, parse_map
from .memory_types import Mtrrs, spans_of
from .nested_check import Expected, Interval, Narrow, SensorLog
from .nested_tables import PAGE, WRITE_BACK, Ept, Memory
from .rig import Run

STAGES = ("start", "booted")
CARD_BYTES = 128 << 10  # 82540EM's register window
_CARD = re.compile(r"\[E1000A\] BAR #0: mem base address = (0x[0-9a-f]+)")
ACCESSED_DIRTY = 1 << 6
POINTER_FLAGS = WRITE_BACK | 3 << 3 | ACCESSED_DIRTY  # tables in write-back memory, four levels
APIC_ENABLED, APIC_X2 = 1 << 11, 1 << 10


@dataclass(frozen=True)
class Registers:
    """Of one CPU, at a stage."""

    pointer: int  # EPT pointer of its VMCS; 0: none yet
    apic_base: int
    mtrrs: Mtrrs

    @staticmethod
    def of(value: dict[str, Any]) -> Registers:
        variable = tuple((int(base), int(mask)) for base, mask in value["mtrr_variable"])
        mtrrs = Mtrrs(value["mtrr_default"], tuple(value["mtrr_fixed"]), variable, value["mtrr_capability"])
        return Registers(value["ept_pointer"], value["apic_base"], mtrrs)


def registers(path: Path) -> list[Registers]:
    return [Registers.of(value) for value in json.loads(path.read_text(encoding="ascii"))["cpus"]]


def card_of(bochs_log: str) -> Interval:
    """Where the e1000's registers were last put, as Bochs logged it."""
    found = _CARD.findall(bochs_log)
    if not found:
        raise OSError("Bochs's log does not say where the e1000's registers are")
    return int(found[-1], 16), int(found[-1], 16) + CARD_BYTES


def watched(stage: str, cpus: list[Registers], count: int) -> list[Narrow]:
    """While other CPUs are still to be started their INIT and SIPI must not get through: the local APIC's page cannot be
    written, in neither view. IDE has no registers in memory."""
    base = cpus[0].apic_base
    if stage != "start" or count == 1 or base & APIC_X2 or not base & APIC_ENABLED:
        return []
    page = base & ~(PAGE - 1) & (1 << 52) - 1
    return [Narrow("local APIC", page, page + PAGE, {"running": "r--", "stepping": "r--"})]


def check(run: Run) -> Verdict:
    verdict = Verdict("EPT")
    machine = run.folder / "machine"
    log = SensorLog.read(machine / "sensor.log")
    results = {entry["name"]: entry["value"] for entry in run.report["results"]}
    memory_map, address_bits = parse_map(str(results["memory_map"])), int(results["address_bits"])
    card = card_of((machine / "bochs.log").read_text(errors="replace"))
    count = int(run.facts["setup"]["cpus"])
    for stage in STAGES:
        cpus = registers(machine / f"{stage}.json")
        expected = _expected(stage, cpus, count, log, card, memory_map, address_bits)
        verdict.merge(nested_check.check(stage, Memory(machine / f"{stage}.ram"), Ept(address_bits), log.roots, expected))
        verdict.merge(_check_registers(stage, cpus, log))
    verdict.merge(_check_entered(json.loads((machine / "entered.json").read_text(encoding="ascii"))["ept_pointers"], log, count))
    return verdict


def _expected(stage: str, cpus: list[Registers], count: int, log: SensorLog, card: Interval, memory_map: list[Range],
              address_bits: int) -> Expected:
    return Expected(address_bits=address_bits, region=log.region, card=[card], memory_map=memory_map,
                    narrow=watched(stage, cpus, count), types=spans_of(cpus[0].mtrrs, address_bits))


def _check_registers(stage: str, cpus: list[Registers], log: SensorLog) -> Verdict:
    verdict = Verdict(stage)
    wanted = log.roots["running"] | POINTER_FLAGS
    using = [cpu for cpu in cpus if cpu.pointer]
    verdict.require(bool(using), "no CPU has an EPT pointer")
    verdict.differences("EPT pointers", [f"CPU {number}: {cpu.pointer:#x}, expected {wanted:#x}"
                                         for number, cpu in enumerate(cpus) if cpu.pointer not in (0, wanted)])
    if stage == "booted":
        verdict.require(len(using) == len(cpus), "not all CPUs have an EPT pointer")
        verdict.require(all(cpu.mtrrs == cpus[0].mtrrs for cpu in cpus), "the CPUs' MTRRs differ")
    return verdict


def _check_entered(pointers: list[list[int]], log: SensorLog, count: int) -> Verdict:
    """No CPU was ever entered with tables that have not been looked at."""
    verdict = Verdict("VM entries")
    # A monitored view may leave the accessed and dirty flags to the sensor.
    known = {root | flags for root in log.roots.values() for flags in (POINTER_FLAGS, POINTER_FLAGS & ~ACCESSED_DIRTY)}
    verdict.require(len(pointers) == count and all(pointers), f"EPT pointers of {len(pointers)} CPUs only")
    strange = {pointer for used in pointers for pointer in used} - known
    verdict.differences("EPT pointers of tables that are not known", [f"{pointer:#x}" for pointer in sorted(strange)])
    verdict.fact(f"{len({pointer for used in pointers for pointer in used})} of {len(log.roots)} views were entered")
    return verdict
