# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Judges memtest86+ by what it draws on the serial console. It starts all CPUs by itself, without an operating system."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path("/boot/memtest86+x64.efi")
OPTIONS = "console=ttyS0,115200"
ESCAPE = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")


@dataclass
class Progress:
    threads: int = 0
    all_cores: bool = False
    seconds: int = 0
    errors: int = 0
    passes: int = 0
    tests: list[int] = field(default_factory=list)

    def passed(self, cpus: int, seconds: float) -> bool:
        """All CPUs tested memory together, for at least this long by memtest's own clock, with no error."""
        return self.threads == cpus and (self.all_cores or cpus == 1) and self.seconds >= seconds and not self.errors


def read_progress(console: Path) -> Progress:
    if not console.exists():
        return Progress()
    return parse(console.read_text(encoding="utf-8", errors="replace"))


def parse(text: str) -> Progress:
    plain = ESCAPE.sub("\n", text)
    progress = Progress()
    if threads := re.findall(r"SMP:\s+(\d+)T", plain):
        progress.threads = int(threads[-1])
    elif "Memtest86+" in plain:
        progress.threads = 1
    progress.all_cores = "Using: All Cores" in plain
    if times := re.findall(r"Time:\s+(\d+):(\d\d):(\d\d)", plain):
        hours, minutes, seconds = (int(part) for part in times[-1])
        progress.seconds = hours * 3600 + minutes * 60 + seconds
    progress.errors = max((int(count) for count in re.findall(r"Errors:\s*(\d+)", plain)), default=0)
    progress.passes = max((int(count) for count in re.findall(r"Pass:\s*(\d+)", plain)), default=0)
    progress.tests = sorted({int(number) for number in re.findall(r"^\s*#(\d+)\s+\[", plain, re.M)})
    return progress
