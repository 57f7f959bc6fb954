#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Where the sensor's instructions go: one counted run, the instructions of each phase by function.

The probe plugin counts, from outside the machine, how often each block of the sensor is entered; the symbols are those
of core.elf, found by its one VMRUN instruction. Inlined functions count for the function that they were inlined into.
"""
from __future__ import annotations

import argparse
import bisect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.run import WORKLOAD, fio  # noqa: E402
from testbed.witness import rig  # noqa: E402
from testbed.witness.rig import Build, Setup  # noqa: E402


class Symbols:
    """core.elf's functions, by distance from the VMRUN instruction."""

    def __init__(self, core: Path) -> None:
        code = subprocess.run(["llvm-objdump-19", "-d", "--no-show-raw-insn", str(core)], check=True, capture_output=True, text=True).stdout
        found = re.findall(r"^\s*([0-9a-f]+):\s+vmrun", code, re.MULTILINE)
        if len(found) != 1:
            raise rig.RigError(f"{core} has {len(found)} VMRUN instructions, one is expected")
        middle = int(found[0], 16)
        names = subprocess.run(["llvm-nm-19", "-C", "-n", "--defined-only", str(core)], check=True, capture_output=True, text=True).stdout
        entries = [(int(address, 16) - middle, name) for address, kind, name in
                   (line.split(" ", 2) for line in names.splitlines()) if kind in "tTwW"]
        self.starts = [start for start, _ in entries]
        self.names = [name for _, name in entries]

    def name(self, offset: int) -> str:
        index = bisect.bisect_right(self.starts, offset) - 1
        return self.names[index] if index >= 0 else "?"


def read_marks(path: Path) -> dict[int, Counter[int]]:
    """Mark -> instructions executed up to it, by offset of the block."""
    marks: dict[int, Counter[int]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("mark "):
            marks[int(line[5:])] = current = Counter()
        else:
            offset, length, entered = map(int, line.split())
            current[offset] += length * entered
    return marks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=rig.default_build())
    parser.add_argument("--jobs", default="4k-write-qd1 4k-write-qd32 4k-read-qd1 1m-write 1m-read")
    parser.add_argument("--mode", choices=["header", "content"], default="header")
    parser.add_argument("--top", type=int, default=25, help="functions shown for each job")
    options = parser.parse_args()
    build = Build(options.build.resolve())
    counts = build.folder / "bench" / "profile.txt"
    counts.parent.mkdir(parents=True, exist_ok=True)
    try:
        symbols = Symbols(build.file("bin/core.elf"))
        run = rig.perform(Setup(WORKLOAD, settings={"BENCH_JOBS": options.jobs, "BENCH_COUNT": "1"}, mode=options.mode, log_writes=False,
                                trace=False, count_instructions=True, profile=counts, guest_programs=("mark",)),
                          build, build.folder / "bench" / "profile")
    except (rig.RigError, OSError, subprocess.CalledProcessError) as error:
        return rig.complain(error)
    marks = read_marks(counts)
    for number, job in enumerate(options.jobs.split()):
        spent = marks[2 * number + 1]
        spent.subtract(marks[2 * number])
        by_name: Counter[str] = Counter()
        for offset, instructions in spent.items():
            by_name[symbols.name(offset)] += instructions
        commands, total = fio(run, job)[2], sum(by_name.values())
        print(f"\n{job}: {total / commands:.0f} instructions a command")
        for name, instructions in by_name.most_common(options.top):
            print(f"  {instructions / commands:10.0f}  {100 * instructions / total:5.1f} %  {name[:110]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
