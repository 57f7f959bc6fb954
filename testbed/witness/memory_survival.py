# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One mode after the other beneath load: the guest gets through, the store is complete, the watch keeps its budget."""
from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from testbed.monitor import Monitor

from . import memory_account, store
from .access import Verdict
from .fault_check import region_of
from .memory_store import MODE_NUMBERS
from .rig import Build, Run

PHASES = {"access": "access", "written": "written", "live": "snapshot", "consistent": "snapshot", "watch": "watch"}
STAGE = "sample"
SAMPLES_S = 15.0  # at most
SAMPLE_EVERY_S = 0.01
REGISTERS = re.compile(r"RIP=([0-9a-f]+).*?HLT=(\d)", re.DOTALL)
TEST_NODE = "disk-test0"
FIRMWARE_READS = 4 << 20  # of a disk, before the sensor is there
COMPLAINTS = re.compile(r"BUG:|Oops|hung task|blocked for more than|general protection|NMI received|I/O error|ata\d+.*(?:exception|timeout|failed)")
# Of 5 %: the records are sent besides, and 2 % of some thousand samples are chance.
MOST_IN_SENSOR = 0.12


def sampler(folder: Path, seconds_each: float) -> Callable[[str, Monitor], None]:
    """For the stage hook: whether each CPU is in the sensor, as QEMU's registers say, time and again."""

    def on_stage(name: str, monitor: Monitor) -> None:
        if name != STAGE:
            return
        begin, end = region_of(folder)
        samples: list[list[bool]] = []
        stop = time.monotonic() + min(SAMPLES_S, seconds_each * 0.6)
        while time.monotonic() < stop:
            found = REGISTERS.findall(monitor.human("info registers -a"))
            samples.append([begin <= int(rip, 16) < end for rip, _ in found])
            time.sleep(SAMPLE_EVERY_S)
        (folder / "samples.json").write_text(json.dumps(samples), encoding="ascii")

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
    return in_sensor(json.loads((run.folder / "samples.json").read_text(encoding="ascii")))


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
        verdict.require(made["records"] > 0 and made["cycles"] > 0, f"{name}: nothing was done")
        verdict.require(MODE_NUMBERS[PHASES[name]] != MODE_NUMBERS["snapshot"] or made["dropped"] == 0, f"{name}: pages were dropped")
    return verdict


def _guest(run: Run) -> Verdict:
    verdict = Verdict("the guest")
    status = [entry["value"] for entry in run.report["results"] if entry["name"] == "exit_status"]
    verdict.require(status == [0], f"the workload ended with {status}")
    said = Path(run.report["guest_files"]["dmesg"]).read_text(encoding="utf-8", errors="replace")
    verdict.differences("complaints of the kernel", [line for line in said.splitlines() if COMPLAINTS.search(line)])
    return verdict


def in_sensor(samples: list[list[bool]]) -> Verdict:
    """The share of all CPUs' time in the sensor while the watch may take 5 %, counted from outside."""
    verdict = Verdict("the watch keeps its budget")
    count = sum(len(sample) for sample in samples)
    share = sum(map(sum, samples)) / max(count, 1)
    verdict.fact(f"in the sensor: {share:.1%} of {count} samples")
    verdict.require(count >= 200, "too few samples to say anything")
    verdict.require(share <= MOST_IN_SENSOR, f"{share:.1%} of the time were spent in the sensor")
    return verdict
