# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One run of a look-alike: its documents, its time, its chance."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import corpus


class TimeUp(Exception):
    """The job's time is over."""


@dataclass
class Job:
    root: Path  # of the documents; beside it there is room
    entries: list[corpus.Entry]
    seed: int
    deadline: float
    chance: random.Random
    changed: dict[str, str] = field(default_factory=dict)  # SHA-256 of documents that `office` has saved anew

    @property
    def room(self) -> Path:
        return self.root.parent

    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    def left(self) -> float:
        return max(1.0, self.deadline - time.monotonic())

    def tool(self, *command: str | Path, **options: object) -> None:
        """Runs a program to its end, or to the job's: then it is ended, as by a person who has waited long enough, and TimeUp raised."""
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True, **options)  # type: ignore[call-overload]
        try:
            said, _ = process.communicate(timeout=self.left())
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)  # its children, too
            process.communicate()
            raise TimeUp from error
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said[-300:]!r}")

    def folders(self) -> list[str]:
        """All that have files, in an order of chance."""
        found = sorted({entry.path.rpartition("/")[0] for entry in self.entries})
        self.chance.shuffle(found)
        return found

    def files(self, *suffixes: str) -> list[corpus.Entry]:
        return [entry for entry in self.entries if not suffixes or entry.path.endswith(suffixes)]
