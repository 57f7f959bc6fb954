# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Undo: a guest's documents are encrypted, and come back out of the store as they were before the first encrypted write."""
from __future__ import annotations

import json
from pathlib import Path

from testbed import undo
from testbed.behaviour import host

from .access import Verdict
from .rig import Build, Run

LEAST_ENCRYPTED = 30


def check(run: Run, build: Build, wish: host.Wish) -> Verdict:
    verdict = Verdict("the documents come back")
    report = json.loads(Path(run.report["guest_files"]["behaviour.json"]).read_text(encoding="utf-8"))
    verdict.require(report["error"] is None, f"the workload failed: {report['error']}")
    made = host.documents(wish.file_system, wish.seed, wish.files)
    labels = host.labels(build.undercroft, run.store, report, made.manifest)
    encrypted = len(labels["files"])  # type: ignore[arg-type]
    verdict.require(encrypted >= LEAST_ENCRYPTED, f"only {encrypted} documents were encrypted")
    wanted = host.hashes_before(report, made.manifest)

    def at(moment_ns: int, name: str) -> undo.Recovered:
        return undo.recover(build.undercroft, run.store, host.SOURCE, made.image, moment_ns, host.partition_place(), wanted, run.folder / name)

    last = at(int(str(labels["end_ns"])) + 60 * 10**9, "at_end")
    verdict.fact(f"at the end: {last}")
    verdict.require(len(last.changed) + len(last.missing) >= encrypted, "the end of the run has the documents, too: nothing is shown")
    # The guest told the time of its first encrypted write by its own clock. What the documents were at the earliest instant
    # that this may be, they were at its begin: nothing else writes.
    before = at(int(str(labels["first_write_ns"])) - int(str(labels["clock_uncertainty_ns"])), "before")
    verdict.fact(f"just before the first encrypted write: {before}")
    verdict.require(before.complete, str(before))
    return verdict
