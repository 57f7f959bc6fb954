# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What a guest sees of instruction forms, MSRs and ports (testbed/guest/forms.c) with the sensor, against the same
program on the same machine without it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .access import Verdict
from .rig import Run

LEAST = 70


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(errors="replace").splitlines() if line.startswith("{")]


def compare(bare: list[dict[str, Any]], sensed: list[dict[str, Any]]) -> Verdict:
    verdict = Verdict("instruction forms, MSRs and ports are as without the sensor")
    for name, found in (("without", bare), ("with", sensed)):
        verdict.require(bool(found) and found[-1] == {"end": True}, f"the program did not end {name} the sensor")
        verdict.differences(f"errors {name} the sensor", [str(line) for line in found if "error" in line])
    wanted, seen = ([line for line in found if "same" in line] for found in (bare, sensed))
    verdict.fact(f"{len(wanted)} forms")
    verdict.require(len(wanted) >= LEAST, f"only {len(wanted)} forms were tried")
    verdict.require(len(wanted) == len(seen), f"{len(wanted)} lines without the sensor, {len(seen)} with it")
    verdict.differences("forms that differ", [f"{a}\n    with the sensor: {b}" for a, b in zip(wanted, seen) if a != b])
    refused = [line for line in sensed if "refused" in line]
    verdict.require(len(refused) >= 4, f"only {len(refused)} refusals were asked for")
    verdict.differences("accesses that were not refused", [str(line) for line in refused if line["done"]])
    for line in sensed:
        if "listed" in line:
            verdict.fact(f"{line['listed']}: signal {line['signal']}")
    return verdict


def check(bare: Run, sensed: Run) -> Verdict:
    verdict = compare(*(lines(Path(run.report["guest_files"]["forms.json"])) for run in (bare, sensed)))
    works = [entry["value"] for entry in sensed.report["results"] if entry["name"] == "disk_works_after"]
    verdict.require(works == [True], "the disk does not work afterwards")
    return verdict
