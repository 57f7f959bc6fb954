# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Compiler-like checks of many files: in parallel, and only of what changed since they were last clean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tools.lint.sources import ROOT


@dataclass(frozen=True)
class Job:
    path: Path
    command: list[str]
    digest: str  # of everything that decides the outcome


def run(name: str, jobs: Iterable[Job], cache: Path, workers: int) -> list[str]:
    """What the commands complain about. Clean digests are remembered in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    clean_list = cache / f"{name}.clean"
    clean = set(clean_list.read_text().split()) if clean_list.exists() else set()
    all_jobs = list(jobs)
    pending = [job for job in all_jobs if job.digest not in clean]

    def check(job: Job) -> str | None:
        done = subprocess.run(job.command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            with clean_list.open("a") as kept:  # at once: an interrupted run is not lost
                kept.write(f"{job.digest}\n")
            return None
        return f"{job.path}:\n{done.stdout}{done.stderr}".rstrip()

    problems = []
    with ThreadPoolExecutor(workers) as pool:
        for count, outcome in enumerate(as_completed([pool.submit(check, job) for job in pending]), 1):
            if (problem := outcome.result()) is not None:
                problems.append(problem)
            if sys.stderr.isatty():
                print(f"\rlint: {name}: {count}/{len(pending)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty() and pending:
        print(file=sys.stderr)
    if clean_list.exists():
        current = {job.digest for job in all_jobs}
        clean_list.write_text("".join(f"{digest}\n" for digest in sorted(current & set(clean_list.read_text().split()))))
    return problems
