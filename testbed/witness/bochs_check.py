# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What is asked of a run in Bochs (bochs_rig.py)."""
from __future__ import annotations

from . import bochs_nested, replay_check, store
from .access import WRITE, Verdict, compare_sequences
from .bochs_counts import Counts, named, read_counts
from .rig import Build, Run

WORKLOAD_BEGINS, WORKLOAD_ENDS = 1, 2
DATA_CHANNEL, DATA_DRIVE = 1, 0
LEAST_WRITES = 45


def counts_of(run: Run) -> Counts:
    return read_counts(run.folder / "machine" / "counts.jsonl")


def reached_userspace(run: Run) -> Verdict:
    """Linux ran the workload to its end, on all CPUs, and switched the machine off."""
    cpus = int(run.facts["setup"]["cpus"])
    verdict = Verdict(f"Linux in userspace on {cpus} CPUs ({run.facts['setup']['firmware']})")
    report = run.report
    results = {entry["name"]: entry["value"] for entry in report["results"]}
    verdict.fact(f"{report['instructions']} ticks, {report['timings']['bochs_cpu_s']} s of processor time")
    verdict.require(report["state"] == "finished" and report["shutdown"] == "guest-shutdown", f"{report['state']}: {report['shutdown']}")
    verdict.require(results.get("exit_status") == 0, f"the workload ended with {results.get('exit_status')}")
    online = "0" if cpus == 1 else f"0-{cpus - 1}"
    verdict.require(results.get("cpus_online") == online, f"Linux has CPUs {results.get('cpus_online')} online, expected {online}")
    return verdict


def controlled(run: Run) -> Verdict:
    """Every CPU has been beneath the sensor from before the workload to the end, as Bochs's instructions show."""
    cpus = int(run.facts["setup"]["cpus"])
    verdict = Verdict("every CPU under control")
    counts = counts_of(run)
    for name, moment in (("workload begins", counts.marks.get(WORKLOAD_BEGINS)), ("workload ends", counts.marks.get(WORKLOAD_ENDS)),
                         ("end", counts.end)):
        modes = [cpu.mode for cpu in moment or []]
        verdict.require(len(modes) == cpus and "outside" not in modes, f"{name}: CPUs are in modes {modes}")
    for number, (before, after) in enumerate(zip(counts.marks.get(WORKLOAD_BEGINS, []), counts.end)):
        verdict.fact(f"CPU {number}: {after.guest} instructions beneath the sensor, {after.root} in it, {after.all_exits} exits ({named(after.exits)})")
        verdict.require(after.outside == before.outside, f"CPU {number} ran {after.outside - before.outside} instructions outside VMX operation")
        verdict.require(after.guest > before.guest, f"CPU {number} ran nothing beneath the sensor during the workload")
        verdict.require(after.all_exits > 0 and after.entry_failures == 0, f"CPU {number}: {after.all_exits} exits, {after.entry_failures} failed entries")
    complaints = run.report.get("vmx_complaints", [])
    verdict.differences("Bochs complains of VM entries", [str(text) for text in complaints])
    if run.facts["setup"]["collector"]:
        _agrees_with_sensor(run, counts, verdict, cpus)
    return verdict


def _agrees_with_sensor(run: Run, counts: Counts, verdict: Verdict, cpus: int) -> None:
    """The sensor's own counters, sent before the end, against what Bochs counted."""
    counters = store.only_boot(run.store).counters()
    verdict.require(counters.get("cpus_controlled") == cpus, f"the sensor says it controls {counters.get('cpus_controlled')} CPUs")
    seen = sum(cpu.all_exits for cpu in counts.end)
    at_least = sum(cpu.all_exits for cpu in counts.marks.get(WORKLOAD_BEGINS, []))
    told = counters.get("exits_total", 0)
    verdict.fact(f"exits: {told} by the sensor's last status, {seen} by Bochs at the end")
    verdict.require(at_least // 2 <= told <= seen, "the sensor's count of exits cannot be true")


def recorded(run: Run) -> Verdict:
    """Records of exactly the ATA commands that Bochs's devices were given beneath the sensor, in order, exactly once."""
    verdict = Verdict("records of every ATA command")
    boot = store.only_boot(run.store)
    rows = boot.rows()
    verdict.merge(store.check_sequence(rows))
    commands, grouping = store.group(rows)
    verdict.merge(grouping)
    verdict.merge(store.check_headers_only(commands))
    blocks, content = store.read_content(run.store)
    verdict.merge(content)
    verdict.merge(store.check_content(rows, blocks))
    issued = [command for command in counts_of(run).commands if command.mode != "outside" and command.access]
    writes = 0
    for channel, drive in sorted({(command.channel, command.drive) for command in issued}):
        source = channel << 1 | drive
        given = [command.access for command in issued if (command.channel, command.drive) == (channel, drive) and command.access]
        captured = [access for command in commands if command.source & 0xFF == source for access in command.accesses(with_content=False)]
        compare_sequences(verdict, f"Bochs's channel {channel} drive {drive}", given, "store", captured)
        if (channel, drive) == (DATA_CHANNEL, DATA_DRIVE):
            writes = sum(access.kind == WRITE for access in given)
    verdict.require(writes >= LEAST_WRITES, f"only {writes} writes went to the data disk")
    return verdict


def replayed(run: Run, build: Build) -> Verdict:
    out = run.folder / "replayed.raw"
    return replay_check.check(build.undercroft, run.store, run.base_image, run.final_image, out)


def whole(run: Run, build: Build) -> Verdict:
    """All of it."""
    verdict = Verdict(f"{run.facts['setup']['cpus']} CPUs by {run.facts['setup']['firmware']} on VT-x")
    for part in (reached_userspace(run), controlled(run), bochs_nested.check(run), recorded(run), replayed(run, build)):
        verdict.merge(part)
    return verdict


def bare(run: Run) -> Verdict:
    """Without the sensor nobody may be in VMX operation: the counter tells the difference."""
    verdict = reached_userspace(run)
    counts = counts_of(run)
    for number, cpu in enumerate(counts.end):
        verdict.require((cpu.mode, cpu.root, cpu.guest, cpu.all_exits) == ("outside", 0, 0, 0), f"CPU {number} was in VMX operation: {cpu}")
    given = [command for command in counts.commands if command.channel == DATA_CHANNEL and command.access and command.access.kind == WRITE]
    verdict.require(len(given) >= LEAST_WRITES, f"only {len(given)} writes went to the data disk")
    return verdict
