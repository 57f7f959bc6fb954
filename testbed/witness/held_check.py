# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Writes held by the collector's order (workloads/held.sh): by QEMU's own account nothing is written between hold and release."""
from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.monitor import Monitor

from . import judge
from .access import WRITE, Verdict
from .rig import IDENTITY, Build

GRACE_S = 1.0  # the HBA ends what it was told of before
SECONDS = {"held": 5.0, "held_long": 14.0}
NODE = "logged-test0"
MIN_READS = 20
WRITE_FPDMA_QUEUED = 0x61


def holder(build: Build, folder: Path, control: Path) -> Callable[[str, Monitor], None]:
    """At each of the stages: holds, looks twice at what QEMU has done, releases."""
    seen: dict[str, Any] = {}

    def on_stage(name: str, monitor: Monitor) -> None:
        if name not in SECONDS:
            return
        command(build, control, "hold-writes")
        time.sleep(GRACE_S)
        before = done_by_qemu(monitor, folder)
        time.sleep(SECONDS[name])
        after = done_by_qemu(monitor, folder)
        command(build, control, "release-writes")
        seen[name] = {"before": before, "after": after}
        (folder / "held.json").write_text(json.dumps(seen), encoding="utf-8")

    return on_stage


def command(build: Build, control: Path, what: str) -> None:
    subprocess.run([str(build.undercroft), "control", "--collector", str(control), "--machine", IDENTITY.machine_id, what], check=True,
                   stdout=subprocess.DEVNULL)


def done_by_qemu(monitor: Monitor, folder: Path) -> dict[str, int]:
    """What the block layer counts of the test disk, and the length of its write log."""
    for entry in monitor.command("query-blockstats"):
        if entry.get("node-name") == NODE:
            counts = {name: int(entry["stats"][f"{name}_operations"]) for name in ("rd", "wr", "unmap", "flush")}
            return counts | {"log": (folder / "machine" / "disk0.writes").stat().st_size}
    raise ValueError(f"QEMU has no block node {NODE}")


def check(evidence: judge.Evidence, queued: bool) -> Verdict:
    """`queued`: with native command queuing, where reads go on beside held writes. Without it Linux has one command under way at a time."""
    run = evidence.run
    verdict = Verdict(f"writes are held, {'queued' if queued else 'one at a time'}")
    seen = json.loads((run.folder / "held.json").read_text(encoding="utf-8"))
    verdict.require(set(seen) == set(SECONDS), f"held at {list(seen)}")
    for name, at in seen.items():
        grown = {key: at["after"][key] - at["before"][key] for key in at["before"]}
        verdict.fact(f"{name}: {grown} in {SECONDS[name]:.0f} s")
        for key in ("wr", "unmap", "log"):
            verdict.require(grown[key] == 0, f"{name}: {key} grew by {grown[key]} while writes were held")
    verdict.require(seen["held"]["before"]["wr"] > 0, "nothing was written before the hold: that nothing was later shows nothing")
    of_disk = [command for command in evidence.trace.of_port(run.disk_port) if command.access and command.access.kind == WRITE]
    verdict.require(bool(of_disk) and all((command.opcode == WRITE_FPDMA_QUEUED) == queued for command in of_disk), "writes were not of the kind that this run is for")
    reads = seen["held"]["after"]["rd"] - seen["held"]["before"]["rd"]
    verdict.require(not queued or reads >= MIN_READS, f"{reads} reads while writes were held: reads must go on")
    results = {entry["name"]: entry["value"] for entry in run.report["results"]}
    verdict.require(results["exit_status_of_writes"] == 0, "the guest's writes failed after the release")
    verdict.require(results["exit_status_of_compare"] == 0, "the disk does not hold what was written")
    kernel = Path(run.report["guest_files"]["dmesg"]).read_text(encoding="utf-8", errors="replace")
    verdict.require("hard resetting link" in kernel or "soft resetting link" in kernel, "the driver never reset the port: nothing is shown of it")
    counters = evidence.boot.counters()
    verdict.fact(f"held {counters.get('ahci_commands_held', 0)}, dropped {counters.get('ahci_held_dropped', 0)}")
    verdict.require(counters.get("ahci_commands_held", 0) >= 2, "nothing was held")
    verdict.require(counters.get("ahci_held_dropped", 0) >= 1, "no held command was dropped by a reset")
    return verdict
