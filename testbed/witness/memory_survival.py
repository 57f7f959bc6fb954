# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One mode after the other beneath load: the guest gets through, the store is complete, the watch keeps its budget."""
from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.monitor import Monitor

from . import memory_account, store
from .access import Verdict
from .fault_check import region_of
from .rig import Build, Run

PLAIN = "plain"  # the load without a mode
PHASES = {"access": "access", "written": "written", "live": "snapshot", "consistent": "snapshot", "watch": "watch"}
LEAST_SWEPT = 20_000  # pages, a quarter of the guest's memory
STAGE = re.compile(r"sample_(\w+)")
SAMPLES_S = 60.0  # at most
SAMPLE_EVERY_S = 0.01
REGISTERS = re.compile(r"RIP=([0-9a-f]+).*?HLT=(\d)", re.DOTALL)
TEST_NODE = "disk-test0"
FIRMWARE_READS = 4 << 20  # of a disk, before the sensor is there
COMPLAINTS = re.compile(r"BUG:|Oops|hung task|blocked for more than|general protection|NMI received|I/O error|ata\d+.*(?:exception|timeout|failed)")
BUDGET = 0.05
DEVIATIONS = 3  # of a difference that chance alone makes: one run in 700 is further off


@dataclass(frozen=True)
class Samples:
    """How often a CPU was found in the sensor."""

    count: int
    inside: int

    @property
    def share(self) -> float:
        return self.inside / max(self.count, 1)

    @property
    def variance(self) -> float:
        """Of the share, each sample being by itself: a stay in the sensor is much shorter than the time between two of them. One more
        of each kind is counted, so that none at all is no certainty."""
        likely = (self.inside + 1) / (self.count + 2)
        return likely * (1 - likely) / max(self.count, 1)


def sampler(folder: Path, seconds_each: float) -> Callable[[str, Monitor], None]:
    """For the stage hook: whether each CPU is in the sensor, as QEMU's registers say, time and again."""

    def on_stage(name: str, monitor: Monitor) -> None:
        stage = STAGE.fullmatch(name)
        if not stage:
            return
        begin, end = region_of(folder)
        samples: list[bool] = []
        stop = time.monotonic() + min(SAMPLES_S, seconds_each * 0.8)
        while time.monotonic() < stop:
            found = REGISTERS.findall(monitor.human("info registers -a"))
            samples += [begin <= int(rip, 16) < end for rip, _ in found]
            time.sleep(SAMPLE_EVERY_S)
        (folder / f"samples-{stage[1]}.json").write_text(json.dumps(asdict(Samples(len(samples), sum(samples)))), encoding="ascii")

    return on_stage


def check(run: Run, build: Build) -> Verdict:
    verdict = Verdict("guests survive each mode, and the store is complete")
    boot = store.only_boot(run.store)
    counters = boot.counters()
    for stream, dropped in (("memory", "memory_records_dropped"), ("storage", "records_dropped")):
        found = memory_account.account(boot, stream)
        verdict.merge(memory_account.complete(found, stream, counters.get(dropped, 0)))
        if stream == "storage":
            verdict.require(found.in_gaps == 0, "storage records were dropped")
            verdict.merge(memory_account.same_bytes(found, run.disk_port, run.report["block_statistics"], TEST_NODE, FIRMWARE_READS))
    verdict.merge(memory_account.sound(build, run.store))
    verdict.merge(_phases(run))
    verdict.merge(_guest(run))
    return verdict


def check_budget(run: Run) -> Verdict:
    plain, watched = (Samples(**json.loads((run.folder / f"samples-{name}.json").read_text(encoding="ascii"))) for name in (PLAIN, "watch"))
    results = {entry["name"]: entry["value"] for entry in run.report["results"]}
    commands = [sum(results[f"{name}_disk"]) for name in (PLAIN, "watch")]
    return within_budget(plain, watched, commands[1] / commands[0])


def _phases(run: Run) -> Verdict:
    """Each mode ran to its phase's end, and made records all the time."""
    verdict = Verdict("each mode")
    results = {entry["name"]: entry for entry in run.report["results"]}
    seconds = float(run.facts["setup"]["settings"]["SECONDS_EACH"])
    modes = [name for name in run.facts["setup"]["settings"]["MODES"].split() if name in PHASES]
    for name in modes:
        if f"{name}_status" not in results:
            verdict.problem(f"{name}: the guest did not get to its end")
            continue
        ran = results[f"{name}_status"]["guest_uptime_s"] - results[f"{name}_started"]["guest_uptime_s"]
        before, after = (results[f"{name}_{when}"]["value"]["modes"][PHASES[name]] for when in ("started", "status"))
        made = {key: after[key] - before[key] for key in ("records", "dropped", "cycles", "faults", "held")}
        verdict.fact(f"{name}: {ran:.0f} s, {made}")
        verdict.require(after["running"] and ran >= seconds, f"{name}: did not run for {seconds:g} s")
        if PHASES[name] == "snapshot":  # a sweep takes 17 s where nothing else holds it up: on a busy host it may not end
            verdict.require(made["cycles"] > 0 or made["records"] >= LEAST_SWEPT, f"{name}: only {made['records']} pages were swept")
            verdict.require(made["dropped"] == 0, f"{name}: pages were dropped")
        else:
            verdict.require(made["records"] > 0 and made["cycles"] > 0, f"{name}: nothing was done")
    return verdict


def _guest(run: Run) -> Verdict:
    verdict = Verdict("the guest")
    status = [entry["value"] for entry in run.report["results"] if entry["name"] == "exit_status"]
    verdict.require(status == [0], f"the workload ended with {status}")
    said = Path(run.report["guest_files"]["dmesg"]).read_text(encoding="utf-8", errors="replace")
    verdict.differences("complaints of the kernel", [line for line in said.splitlines() if COMPLAINTS.search(line)])
    return verdict


def within_budget(plain: Samples, watched: Samples, commands: float) -> Verdict:
    """The share of all CPUs' time in the sensor that the watch adds, counted from outside. `commands`: how many of the disk's commands,
    whose exits are there in any case, were done while it watched, for one without it."""
    verdict = Verdict("the watch keeps its budget")
    added = watched.share - plain.share * commands
    chance = DEVIATIONS * math.sqrt(watched.variance + plain.variance * commands**2)
    verdict.fact(f"in the sensor: {plain.share:.1%} of {plain.count} samples without a mode, {watched.share:.1%} of {watched.count} with it; "
                 f"{commands:.2f} times as many disk commands: {added:.1%} more, {BUDGET:.0%} allowed, {chance:.1%} by chance")
    verdict.require(chance <= BUDGET, "too few samples to say anything")
    verdict.require(added <= BUDGET + chance, f"{added:.1%} of the time was spent in the sensor for the watch")
    return verdict
