# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What a guest says of its machine, with the sensor and without: must be the same, word for word.

Left out, each because it differs between two boots of the same machine without any sensor:
 - lines of measured speed: lscpu "BogoMIPS", "CPU MHz", "CPU(s) scaling MHz"; cpuinfo "bogomips", "cpu MHz";
   dmesg "Calibrating delay loop" and "total of N processors activated" (the TSC is measured anew at each boot).
CPUID is compared whole: all leaves, all CPUs, all bits. `cpuid -r` runs on each CPU in turn, so that APIC ids
(leaves 1, 0xB, 0x8000001E) belong to the CPU they were read on and are the same in every boot.
"""
from __future__ import annotations

import difflib
import re
from pathlib import Path

from .access import Verdict

FILES = ("systemd-detect-virt", "lscpu", "cpuid", "cpuinfo", "dmesg", "sys-hypervisor")
MEASURED = re.compile(r"^(BogoMIPS|CPU MHz|CPU\(s\) scaling MHz|bogomips|cpu MHz)\s*:|Calibrating delay loop|processors activated", re.IGNORECASE)
LEAF = re.compile(r"^\s*(0x[0-9a-f]{8}) (0x[0-9a-f]{2}): eax=(\S+) ebx=(\S+) ecx=(\S+) edx=(\S+)")
REGISTERS = ("eax", "ebx", "ecx", "edx")

Leaves = dict[tuple[str, str, str], tuple[str, ...]]


def parse_cpuid(text: str) -> Leaves:
    """`cpuid -r`: (cpu, leaf, subleaf) -> (eax, ebx, ecx, edx)."""
    leaves: Leaves = {}
    cpu = "?"
    for line in text.splitlines():
        if line.startswith("CPU"):
            cpu = line.strip().rstrip(":")
        elif match := LEAF.match(line):
            leaves[cpu, match[1], match[2]] = match.groups()[2:]
    return leaves


def compare_cpuid(bare: str, sensed: str) -> Verdict:
    verdict = Verdict("CPUID")
    left, right = parse_cpuid(bare), parse_cpuid(sensed)
    verdict.fact(f"{len(left)} leaves on {len({key[0] for key in left})} CPUs")
    verdict.require(len(left) >= 20, f"only {len(left)} leaves were read: the comparison would say little")
    found = []
    for key in sorted(left.keys() | right.keys()):
        a, b = left.get(key), right.get(key)
        if a is None or b is None:
            found.append(f"{' '.join(key)}: only {'with' if a is None else 'without'} the sensor")
        elif a != b:
            found += [f"{' '.join(key)}: {name} {x} without, {y} with the sensor" for name, x, y in zip(REGISTERS, a, b) if x != y]
    verdict.differences("registers that differ", found)
    return verdict


def compare_text(name: str, bare: str, sensed: str) -> Verdict:
    verdict = Verdict(name)
    left, right = ([line for line in text.splitlines() if not MEASURED.search(line)] for text in (bare, sensed))
    verdict.require(bool(left), "empty without the sensor")
    lines = [line for line in difflib.unified_diff(left, right, "without", "with", n=0, lineterm="") if line[0] in "+-"]
    verdict.differences("lines that differ", lines[2:])
    return verdict


def compare(bare: dict[str, str], sensed: dict[str, str]) -> Verdict:
    """`bare`, `sensed`: name -> path of the guest's files, as report.json has them."""
    verdict = Verdict("the machine says the same of itself")
    for name in FILES:
        if name not in bare or name not in sensed:
            verdict.problem(f"{name}: not reported {'without' if name not in bare else 'with'} the sensor")
            continue
        texts = (Path(bare[name]).read_text(errors="replace"), Path(sensed[name]).read_text(errors="replace"))
        verdict.merge(compare_cpuid(*texts) if name == "cpuid" else compare_text(name, *texts))
    return verdict
