# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The memory monitor on VT-x and EPT, judged by what a program of the guest touched, and by Bochs itself: its memory at the
instant of a sweep's arming, and the instructions that it executed in the sensor."""
from __future__ import annotations

import json
from pathlib import Path

from testbed.bochs import TICKS_PER_SECOND

from . import memory_snapshot, memory_store, memory_touch, memory_watch, store
from .access import Verdict
from .bochs_check import controlled, counts_of, reached_userspace
from .bochs_rig import Setup
from .rig import IDENTITY, Build, Run

WATCH_BEGINS, WATCH_ENDS = 3, 4
SEED = 20261122
SWEEPS = 2  # consistent ones
LEAST_PAGES = 1024  # in each; the range has 1,536
BUDGET = 0.2  # 5 % of a processor with 50 million instructions a second bear no single pages, or one piece of them: which, was chance
LEAST_FINE = 0.05
MOST_IN_SENSOR = BUDGET + 0.03  # of the time: the guest's own exits and requests are there besides
SETUP = Setup(str(Path(__file__).resolve().parent / "workloads/bochs-memory.sh"), "bios", cpus=2, disk_bytes=0,
              settings={"CONTROL_KEY": IDENTITY.control_key, "SEED": str(SEED), "WATCH_BUDGET": f"{BUDGET:.0%}"}, config={"mode": "header", "memory_buffer_kib": "16384"}, dumps=True,
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
    verdict.merge(memory_watch.check(memory_store.of_mode(rows, "watch"), touched, run.report["results"], LEAST_FINE))
    verdict.merge(_budget(run))
    swept = memory_touch.Touched.parse(Path(files["swept"]).read_text(encoding="utf-8"))
    verdict.merge(_consistent(run, build))
    verdict.merge(_known_pages(run, build, rows, swept))
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


def _consistent(run: Run, build: Build) -> Verdict:
    """One full and one incremental sweep against Bochs's memory at the instants of their arming."""
    verdict = Verdict("consistent sweeps")
    for number in range(1, SWEEPS + 1):
        dump = memory_snapshot.export(run, build, "lime", number)
        about = json.loads(Path(f"{dump}.json").read_text(encoding="utf-8"))
        verdict.require(about["consistent"] and about["incremental"] == (number > 1), f"sweep {number}: {about}")
        verdict.merge(memory_snapshot.compare(dump, run.folder / "machine" / f"at-{number}.ram", f"sweep {number} equals Bochs's memory", LEAST_PAGES))
    results = {entry["name"]: entry["value"] for entry in run.report["results"]}
    faults = results["snapshot_status"]["modes"]["snapshot"]["faults"]
    verdict.fact(f"{faults} pages were written before the sweeps had come to them")
    verdict.require(faults > 0, "nothing was written while a sweep was under way")
    return verdict


def _known_pages(run: Run, build: Build, rows: list[memory_store.MemoryRow], swept: memory_touch.Touched) -> Verdict:
    """What the program says that its pages held: in the first sweep, begun after its first pass and before its second, in the next one and in
    the live one."""
    verdict = Verdict("known pages in snapshots")
    verdict.require(not any(entry.moved for entry in swept.passes), "the guest moved pages: the run proves nothing")
    ends = [row for row in rows if row.kind == memory_store.SWEEP_END]
    live = [row.address for row in ends if not row.source]
    verdict.require(len(live) == 1, f"{len(live)} live sweeps")
    for sweep, made in [(1, 0), (2, 1), *((number, 1) for number in live)]:
        dump = memory_snapshot.export(run, build, "lime", sweep)
        found = dict(memory_snapshot.pages(dump, memory_snapshot.lime_regions(dump)))
        wrong = [f"{swept.addresses[page]:#x}" for page in swept.passes[made].order if found.get(swept.addresses[page]) != memory_touch.pattern(SEED, made, page)]
        verdict.fact(f"sweep {sweep}: {len(swept.passes[made].order)} pages as after pass {made}")
        verdict.differences(f"sweep {sweep}: pages that do not hold what pass {made} left", wrong)
    return verdict
