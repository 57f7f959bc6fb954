# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What is asked of a run that GRUB started on a BIOS machine, beyond what is asked of every run."""
from __future__ import annotations

import re
from dataclasses import dataclass

from . import store
from .access import Verdict
from .judge import Evidence
from .rig import ESP_PORT

SYSTEM_RAM, RESERVED = "System RAM", "Reserved"
LOADER_BLOCK = 8192  # at the end of conventional memory
CONVENTIONAL_END = 0x9FC00  # SeaBIOS's own data begins here


@dataclass(frozen=True)
class Range:
    start: int
    end: int  # one behind
    kind: str


def parse_map(text: str) -> list[Range]:
    """ "0x0 0x9fbff System RAM;0x9fc00 ..." as the workload reports /sys/firmware/memmap."""
    found = [re.fullmatch(r"(0x[0-9a-f]+) (0x[0-9a-f]+) (.+)", entry) for entry in text.split(";") if entry]
    return sorted((Range(int(match[1], 16), int(match[2], 16) + 1, match[3]) for match in found if match),
                  key=lambda entry: entry.start)


def covered(ranges: list[Range], start: int, end: int, kind: str) -> bool:
    """Whether ranges of this kind, and none of another, hold all of [start, end)."""
    if any(entry.kind != kind and entry.start < end and start < entry.end for entry in ranges):
        return False
    at = start
    for entry in ranges:
        if entry.start <= at < entry.end:
            at = entry.end
    return at >= end


def check(evidence: Evidence) -> Verdict:
    verdict = Verdict("BIOS")
    results = {entry["name"]: entry["value"] for entry in evidence.run.report["results"]}
    ranges = parse_map(str(results.get("memory_map", "")))
    log = (evidence.run.folder / "machine" / "sensor.log").read_text(errors="replace")
    region = re.search(r"region (0x[0-9a-f]+) \+ (0x[0-9a-f]+)", log)
    if not ranges or not region:
        verdict.problem(f"no memory map ({len(ranges)} ranges) or no region in the sensor's log")
        return verdict
    start, size = int(region[1], 16), int(region[2], 16)
    verdict.fact(f"region {start:#x} + {size:#x} of {len(ranges)} ranges")
    verdict.require(covered(ranges, start, start + size, RESERVED), "INT 15h E820 shows part of the sensor's region to the system")
    verdict.require(start % (2 << 20) == 0 and start + size <= 4 << 30, "the region lies where it should not")
    verdict.require(covered(ranges, start - 4096, start, SYSTEM_RAM), "memory below the region is lost")
    verdict.require(covered(ranges, CONVENTIONAL_END - LOADER_BLOCK, CONVENTIONAL_END, RESERVED), "the resident block is shown as free")
    verdict.require(covered(ranges, 0, 0x90000, SYSTEM_RAM), "more conventional memory is lost than the block")
    verdict.merge(_flags(evidence, log))
    return verdict


def _flags(evidence: Evidence, log: str) -> Verdict:
    """GRUB reads the kernel before the system has started, Linux uses its disk afterwards."""
    verdict = Verdict("before the system, and after")
    verdict.require("the operating system starts: first sign EFER" in log, "the start of the operating system was not noticed")
    boot = [row for row in evidence.rows if row.source & 0xFF == ESP_PORT]
    before = [row for row in boot if row.flags & store.BEFORE_OS]
    verdict.fact(f"{len(before)} of {len(boot)} records of the boot disk are from before the system")
    verdict.require(len(before) > 100, "GRUB's reads of the kernel do not carry the flag")
    late = [row.seq for row in evidence.rows if row.source == evidence.source and row.kind == "write" and row.flags & store.BEFORE_OS]
    verdict.require(not late, f"writes of Linux carry the flag: {late[:5]}")
    return verdict
