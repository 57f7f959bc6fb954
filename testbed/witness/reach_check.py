# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The sensor's memory against a guest that tries to reach it (testbed/guest/reach.c), judged from outside: QEMU's
`pmemsave` of the range before and after, and the disk image. What the guest believes is only listed."""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.monitor import Monitor

from . import npt_check
from .access import Verdict
from .rig import Run

PATTERN_LBA, SCRATCH_LBA, SCRATCH_BYTES = 2048, 4096, 131072
SETTINGS = {"PATTERN_LBA": str(PATTERN_LBA), "SCRATCH_LBA": str(SCRATCH_LBA)}
CPU_PATTERN = b"undercroft reach: written by a guest CPU"
DISK_PATTERN = b"undercroft reach: brought by a disk\n"
SCRATCH = b"undercroft scratch\n"
_REGION = re.compile(r'"name":"region","value":"(\d+) (\d+)"')
_VMRUN = re.compile(r"undercroft-probe: first vmrun on cpu \d+ at (0x[0-9a-f]+)")


def _filled(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


def lay_patterns(image: Path) -> None:
    """Puts what the guest will try to move onto the base image."""
    with image.open("r+b") as file:
        file.seek(PATTERN_LBA * 512)
        file.write(_filled(DISK_PATTERN, 8192))
        file.seek(SCRATCH_LBA * 512)
        file.write(_filled(SCRATCH, SCRATCH_BYTES))


def region_of(folder: Path) -> tuple[int, int]:
    match = _REGION.search((folder / "machine" / "console.log").read_text(errors="replace"))
    if not match:
        raise ValueError("the guest named no region")
    return int(match[1]), int(match[2])


def saver(folder: Path) -> Callable[[str, Monitor], None]:
    """For the rig's on_stage: saves the range's true contents before and after."""

    def on_stage(name: str, monitor: Monitor) -> None:
        if name in ("before-reach", "after-reach"):
            first, last = region_of(folder)
            monitor.command("stop")
            monitor.save_memory(folder / f"{name}.mem", first, last + 1 - first)
            if name == "before-reach":
                npt_check.save(folder, monitor)
            monitor.command("cont")

    return on_stage


def nested(run: Run) -> Verdict:
    """The nested tables, as they were before."""
    return npt_check.check(run, run.folder / "before-reach.mem", region_of(run.folder)[0])


def check(run: Run) -> Verdict:
    verdict = Verdict("the sensor's memory is out of reach")
    first, last = region_of(run.folder)
    verdict.fact(f"range {first:#x} ... {last:#x}")
    vmrun = _VMRUN.search(run.qemu_log.read_text(errors="replace"))
    if not vmrun:
        verdict.problem("no VMRUN was executed: there was no sensor to reach")
    elif not first <= int(vmrun[1], 16) <= last:
        verdict.problem(f"the range is not the sensor's: it runs at {vmrun[1]}")
    attempts = _attempts(Path(run.report["guest_files"]["reach.json"]))
    before, after = ((run.folder / f"{name}-reach.mem").read_bytes() for name in ("before", "after"))
    _check_writes(verdict, after, first)
    _check_reads(verdict, attempts, before, first)
    _check_disk(verdict, run, before)
    _check_controls(verdict, attempts)
    works = [entry["value"] for entry in run.report["results"] if entry["name"] == "disk_works_after"]
    verdict.require(works == [True], "the disk does not work afterwards")
    return verdict


def _attempts(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(errors="replace").splitlines() if line.startswith("{")]


def _check_writes(verdict: Verdict, after: bytes, first: int) -> None:
    for name, pattern in (("a guest CPU's store", CPU_PATTERN), ("a disk's data", DISK_PATTERN)):
        at = after.find(pattern)
        verdict.require(at < 0, f"{name} arrived at {first + max(at, 0):#x}")


def _check_reads(verdict: Verdict, attempts: list[dict[str, Any]], before: bytes, first: int) -> None:
    pages = [page for attempt in attempts for page in attempt.get("by_cpu", [])]
    telling, seen, not_tried = 0, [], 0
    for page in pages:
        at = page["address"] - first
        truth = before[at:at + 64]
        not_tried += "refused_by_linux" in page
        if "read" not in page or len(set(truth)) < 4:
            continue
        telling += 1
        if bytes.fromhex(page["read"]) == truth:
            seen.append(f"page {page['address']:#x} holds {truth[:16].hex()} ... and the guest read it")
    faults = sum("signal" in page for page in pages)
    verdict.fact(f"{len(pages)} pages tried by CPU, {faults} faulted, {telling} read where memory holds something")
    verdict.require(not_tried == 0, f"Linux itself refused {not_tried} pages: nothing is shown by them")
    verdict.require(telling + faults > 0, "no page with contents was tried")
    verdict.differences("pages that a guest CPU could read", seen)


def _check_disk(verdict: Verdict, run: Run, before: bytes) -> None:
    """Blocks next to the control's own (the first 16 sectors) must be as the host laid them."""
    with run.final_image.open("rb") as file:
        file.seek(SCRATCH_LBA * 512)
        held = file.read(SCRATCH_BYTES)
    wrong = []
    for at in range(8192, SCRATCH_BYTES, 4096):
        block = held[at:at + 4096]
        if block != _filled(SCRATCH, SCRATCH_BYTES)[at:at + 4096]:
            leaked = len(set(block)) > 3 and block in before
            wrong.append(f"lba {SCRATCH_LBA + at // 512}: {'the sensor`s memory' if leaked else 'something'} was written")
    verdict.differences("disk commands that were carried out", wrong)


def _check_controls(verdict: Verdict, attempts: list[dict[str, Any]]) -> None:
    wanted = _filled(DISK_PATTERN, 64).hex()
    controls = {attempt["control"]: attempt["read"] for attempt in attempts if "control" in attempt}
    for name in ("before", "after"):
        verdict.require(controls.get(name) == wanted, f"the same command with the guest's own memory did not work {name} the attempts")
    aimed = [attempt for attempt in attempts if "command" in attempt and attempt["command"] not in ("before", "after")]
    verdict.require(len(aimed) >= 15, f"only {len(aimed)} commands were aimed at the sensor")
    for attempt in aimed:
        verdict.fact(f"{attempt['command']} at {attempt['address']:#x}: PxCI {'cleared' if attempt['ci_clear'] else 'stayed'}, "
                     f"{attempt['transferred']} bytes, PxTFD {attempt['tfd']:#x}")
