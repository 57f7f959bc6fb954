# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The memory monitor on VT-x and EPT, judged by what a program of the guest touched, and by Bochs itself: its memory at the
instant of a sweep's arming, and the instructions that it executed in the sensor."""
from __future__ import annotations

from pathlib import Path

from testbed.bochs import TICKS_PER_SECOND

from . import memory_snapshot, memory_store, memory_touch, memory_watch, store
from .access import Verdict
from .bochs_check import controlled, counts_of, reached_userspace
from .bochs_rig import Setup
from .rig import IDENTITY, Build, Run

WATCH_BEGINS, WATCH_ENDS = 3, 4
SEED = 20261122
SWEEPS = 2
MOST_IN_SENSOR = 0.10  # of the time, for a budget of 5 %: what is found is sent besides
SETUP = Setup(str(Path(__file__).resolve().parent / "workloads/bochs-memory.sh"), "bios", cpus=2, disk_bytes=0,
              settings={"CONTROL_KEY": IDENTITY.control_key, "SEED": str(SEED)}, config={"mode": "header", "memory_buffer_kib": "16384"}, dumps=True,
              dump_at=memory_snapshot.ARMED, guest_programs=("ucctl", "touch_pages"))


def check(run: Run, build: Build) -> Verdict:
    verdict = Verdict("the memory monitor on VT-x")
    verdict.merge(reached_userspace(run))
    verdict.merge(controlled(run))
    rows = memory_store.read_rows(store.only_boot(run.store))
    verdict.merge(memory_store.complete(rows))
    files = run.report["guest_files"]
    kinds, fill, touched = (memory_touch.Touched.parse(Path(files[name]).read_text(encoding="utf-8")) for name in ("kinds", "fill", "touched"))
    verdict.merge(memory_touch.check_kinds(memory_store.of_mode(rows, "access"), kinds))
    blocks, content = store.read_content(run.store)
    verdict.merge(content)
    verdict.merge(memory_touch.check_patterns(memory_store.of_mode(rows, "written"), blocks, fill, SEED))
    verdict.merge(memory_watch.check(memory_store.of_mode(rows, "watch"), touched, run.report["results"]))
    verdict.merge(_budget(run))
    verdict.merge(_snapshots(run, build))
    return verdict


def _budget(run: Run) -> Verdict:
    """Instructions executed in the sensor while the watch ran, of those that all CPUs could have executed in that time."""
    verdict = Verdict("the watch's budget, counted by Bochs")
    marks = counts_of(run).marks
    in_sensor = sum(after.root - before.root for before, after in zip(marks[WATCH_BEGINS], marks[WATCH_ENDS]))
    times = {entry["name"]: float(entry["guest_uptime_s"]) for entry in run.report["results"]}
    seconds = times["touched_stopped"] - times["touched_before"]
    share = in_sensor / (seconds * TICKS_PER_SECOND * len(marks[WATCH_BEGINS]))
    verdict.fact(f"{in_sensor} instructions in the sensor in {seconds:.1f} s: {share:.2%}")
    verdict.require(0 < share <= MOST_IN_SENSOR, f"the sensor took {share:.1%}")
    return verdict


def _snapshots(run: Run, build: Build) -> Verdict:
    verdict = Verdict("consistent snapshots")
    for number in range(1, SWEEPS + 1):
        dump = memory_snapshot.export(run, build, "lime", number)
        verdict.merge(memory_snapshot.compare(dump, run.folder / "machine" / f"at-{number}.ram", f"sweep {number} equals Bochs's memory"))
    return verdict
