# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A fault inside the sensor, made by overwriting one of its functions with UD2: the machine must end in a defined way."""
from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from testbed.gdbstub import Gdb
from testbed.monitor import Monitor

from . import store
from .access import WRITE, Verdict
from .rig import Build, Run

STAGE = "fault"
FUNCTION = "undercroft::observe::SlotBuffer::reserve("  # runs with the buffer's lock held, which sending needs
UD2 = b"\x0f\x0b"
BLOCKS = 64
INVALID_OPCODE = 6


class FaultError(Exception):
    """The sensor's code could not be found or changed."""


def breaker(build: Build, folder: Path, socket: Path) -> Callable[[str, Monitor], None]:
    """For the stage hook: breaks FUNCTION when the guest says so."""
    offset = offset_of(build, FUNCTION)

    def on_stage(name: str, _: Monitor) -> None:
        if name != STAGE:
            return
        address = region_of(folder)[0] + offset
        with Gdb(socket) as gdb:
            gdb.write_physical(address, UD2)
            if gdb.read_physical(address, len(UD2)) != UD2:
                raise FaultError(f"{address:#x} does not hold what was written")
    return on_stage


def region_of(folder: Path) -> tuple[int, int]:
    """[first, end) of the sensor's memory."""
    found = re.search(r"region (0x[0-9a-f]+) \+ (0x[0-9a-f]+)", (folder / "machine" / "sensor.log").read_text(errors="replace"))
    if not found:
        raise FaultError("the sensor's log does not say where it lies")
    begin, size = (int(text, 16) for text in found.groups())
    return begin, begin + size


def offset_of(build: Build, function: str) -> int:
    """Where a function of the sensor lies in its region. `function`: the beginning of its demangled name."""
    done = subprocess.run(["nm", "-C", str(build.file("bin/core.elf"))], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FaultError(f"nm ended with {done.returncode}: {done.stderr.strip()}")
    found = [line.split()[0] for line in done.stdout.splitlines() if line.split(maxsplit=2)[-1].startswith(function)]
    if len(found) != 1:
        raise FaultError(f"{len(found)} symbols are named {function}: {', '.join(found) or 'none'}")
    return int(found[0], 16)


def check(run: Run, boot: store.Boot) -> Verdict:
    verdict = Verdict("a fault inside the sensor")
    report = run.report
    log = (run.folder / "machine" / "sensor.log").read_text(errors="replace")
    verdict.require(f"sensor fault: vector {INVALID_OPCODE} " in log, "the log does not tell of the fault")
    verdict.require("not everything could be sent" not in log, "what was buffered could not be sent")
    verdict.require("resetting the machine" in log, "the log does not tell of the reset")
    verdict.require(report["shutdown"] == "guest-reset", f"the machine ended by {report['shutdown']!r}")
    verdict.require(not any(entry["name"] == "survived" for entry in report["results"]), "the guest went on")
    rows = boot.rows()
    verdict.merge(store.check_sequence(rows))
    blocks = {row.address // 8 for row in rows if row.kind == WRITE and row.source & 0xFF == 1}
    verdict.require(blocks >= set(range(BLOCKS)), "writes before the fault are missing from the store")
    return verdict
