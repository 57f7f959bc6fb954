# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Which files are ours, and what they include."""

from __future__ import annotations

import functools
import hashlib
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


@functools.cache
def files() -> tuple[Path, ...]:
    """Everything git tracks or would track, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    return tuple(sorted(path for name in listed.split("\0") if name and (path := Path(name)) and (ROOT / path).is_file()))


def with_suffix(*suffixes: str) -> list[Path]:
    return [path for path in files() if path.suffix in suffixes]


def cpp() -> list[Path]:
    return with_suffix(".cpp", ".hpp", ".c", ".h")


@functools.cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def scripts(*interpreters: str) -> list[Path]:
    """Files whose first line names one of these interpreters, whatever their suffix."""
    found = []
    for path in files():
        first = text(path).split("\n", 1)[0]
        if first.startswith("#!") and first.split("/")[-1].split()[-1] in interpreters:
            found.append(path)
    return found


def includes(path: Path) -> list[Path]:
    """Our own headers that a file names, relative to the root."""
    return [Path(name) for name in _INCLUDE.findall(text(path)) if (ROOT / name).is_file()]


def digest(path: Path, *extra: str) -> str:
    """Of a file, all of our headers that it reaches, and `extra`: the same digest, the same findings."""
    reached: set[Path] = set()
    pending = [path]
    while pending:
        current = pending.pop()
        if current not in reached:
            reached.add(current)
            pending += includes(current)
    total = hashlib.sha256("\0".join(extra).encode())
    for each in sorted(reached):
        total.update(f"{each}\0{text(each)}\0".encode())
    return total.hexdigest()
