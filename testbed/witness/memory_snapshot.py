# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Consistent snapshots against QEMU's own copy of memory from the instant at which they were armed."""
from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import kernel
from testbed.btf import make_table
from testbed.gdbstub import Gdb
from testbed.linux_image import btf_of
from testbed.monitor import Monitor

from .access import Verdict
from .fault_check import offset_of, region_of
from .rig import Build, RigError, Run

STAGE = "arm"
SWEEP_BEGUN = "snapshot: sweep 1 "  # the sensor's log
ARMED = "undercroft::memory::Snapshot::begin_consistent("  # all CPUs are held: nobody writes until all pages are protected
SAVED_SWEEPS = 3  # a full one and two on top of it
PATIENCE_S = 400.0  # for all sweeps together
PAGE_BYTES = 4096
NEXT = "undercroft::memory::Snapshot::begin_sweep("
LIME_HEADER = struct.Struct("<4sIQQ8x")
PASSING = ("cat", "sh", "ps", "ucctl", "sleep", "tr", "sed", "grep", "gzip", "base64")
LEAST_PROCESSES = 20
TASK_NAME = 15


def saver(build: Build, folder: Path, socket: Path, memory_bytes: int) -> Callable[[str, Monitor], None]:
    """For the stage hook: stops the machine at the arming of the first sweeps and saves memory. The guest waits a little
    before it starts the mode: what takes time is done before."""
    armed_at, following_at = (offset_of(build, function) for function in (ARMED, NEXT))

    def on_stage(name: str, monitor: Monitor) -> None:
        if name != STAGE:
            return
        with Gdb(socket) as gdb:
            begin, _ = region_of(folder)
            if SWEEP_BEGUN in (folder / "machine" / "sensor.log").read_text(errors="replace"):
                raise RigError("the first sweep began before it was waited for")
            patience_end = time.monotonic() + PATIENCE_S
            for number in range(SAVED_SWEEPS):
                if number > 0:  # a breakpoint that a CPU stands at stops it again
                    gdb.run_to(begin + following_at, patience_end - time.monotonic())
                gdb.run_to(begin + armed_at, patience_end - time.monotonic())
                monitor.save_memory(folder / f"armed-{number + 1}.mem", 0, memory_bytes)

    return on_stage


@dataclass(frozen=True)
class Region:
    first: int
    end: int
    offset: int  # of its bytes in the file


def lime_regions(path: Path) -> list[Region]:
    """From the headers alone (LiME's format description)."""
    regions = []
    at, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            magic, version, first, last = LIME_HEADER.unpack(file.read(LIME_HEADER.size))
            if (magic, version) != (b"EMiL", 1) or last < first:
                raise ValueError(f"{path}: no LiME header at {at}")
            at += LIME_HEADER.size
            regions.append(Region(first, last + 1, at))
            at += last + 1 - first
    return regions


def pages(path: Path, regions: list[Region]) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for region in regions:
            file.seek(region.offset)
            for address in range(region.first, region.end, PAGE_BYTES):
                yield address, file.read(PAGE_BYTES)


def compare(dump: Path, saved: Path, subject: str, least_pages: int | None = None) -> Verdict:
    """Page for page; `saved`: physical memory from address 0 on. `least_pages`: of three quarters of it, where nothing else is said."""
    verdict = Verdict(subject)
    regions = lime_regions(dump)
    size = saved.stat().st_size
    different: list[str] = []
    count = 0
    with saved.open("rb") as memory:
        for address, page in pages(dump, regions):
            if address + PAGE_BYTES > size:
                verdict.problem(f"{address:#x} lies beyond the machine's memory")
                break
            memory.seek(address)
            count += 1
            if memory.read(PAGE_BYTES) != page:
                different.append(f"{address:#x}")
    verdict.fact(f"{count} pages in {len(regions)} regions")
    least = size * 3 // 4 // PAGE_BYTES if least_pages is None else least_pages
    verdict.require(count >= least, f"only {count} of {size // PAGE_BYTES} pages were looked at")
    verdict.differences("pages that differ", different)
    return verdict


def export(run: Run, build: Build, form: str, sweep: int) -> Path:
    out = run.folder / f"sweep-{sweep}.{form}"
    done = subprocess.run([build.undercroft, "export", run.store, "--format", form, "--sweep", str(sweep), "--out", out],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"undercroft export: {done.stderr}")
    return out


def check(run: Run, build: Build) -> Verdict:
    verdict = Verdict("consistent snapshots equal memory at the instant of their arming")
    for number in range(1, SAVED_SWEEPS + 1):
        dump = export(run, build, "lime", number)
        about = json.loads(Path(f"{dump}.json").read_text(encoding="utf-8"))
        verdict.require(about["consistent"] and about["incremental"] == (number > 1), f"sweep {number}: {about}")
        verdict.merge(compare(dump, run.folder / f"armed-{number}.mem", f"sweep {number}"))
    verdict.merge(check_elf(run, build))
    verdict.merge(check_volatility(run))
    return verdict


def check_elf(run: Run, build: Build) -> Verdict:
    """readelf and gdb open the ELF core, and gdb reads memory by its physical address."""
    verdict = Verdict("other tools open the ELF core")
    core = export(run, build, "elf", 1)
    headers = subprocess.run(["readelf", "-hlW", core], capture_output=True, text=True, check=False)
    verdict.require(headers.returncode == 0 and not headers.stderr and "CORE (Core file)" in headers.stdout, f"readelf: {headers.stderr or headers.stdout[:300]}")
    address = 0x10_0000
    with (run.folder / "armed-1.mem").open("rb") as memory:
        memory.seek(address)
        expected = int.from_bytes(memory.read(8), "little")
    shown = subprocess.run(["gdb", "-batch", "-nx", "-ex", f"core-file {core}", "-ex", f"output/x *(unsigned long*){address:#x}"],
                           capture_output=True, text=True, check=False)
    verdict.require(f"{expected:#x}" in shown.stdout.split()[-1:], f"gdb says {shown.stdout.strip()[-200:]!r} {shown.stderr.strip()[-200:]!r}, memory has {expected:#x}")
    return verdict


def check_volatility(run: Run) -> Verdict:
    """Volatility 3 lists the guest's processes from the LiME file. Its symbol table: the types from the kernel's BTF, the
    symbols' addresses from the guest's /proc/kallsyms."""
    files = {name: Path(path).read_text(encoding="utf-8") for name, path in run.report["guest_files"].items()}
    folder = run.folder / "symbols"
    for name in ("linux", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table = make_table(btf_of(kernel.stock().image), files["kallsyms"], files["version"])
    (folder / "linux" / "guest.json").write_text(json.dumps(table), encoding="ascii")
    done = subprocess.run([Path(sys.executable).with_name("vol"), "-q", "--offline", "--cache-path", folder / "cache", "-r", "json", "-s", folder,
                           "-f", run.folder / "sweep-1.lime", "linux.pslist"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        verdict = Verdict("Volatility lists the guest's processes")
        verdict.problem(f"vol ended with {done.returncode}: {done.stderr.strip()[-800:]}")
        return verdict
    return compare_processes(files["processes"], json.loads(done.stdout))


def compare_processes(said: str, listed: list[dict[str, Any]]) -> Verdict:
    """`said`: lines of pid and name, shortly before the snapshot. Processes that come and go are no evidence."""
    verdict = Verdict("Volatility lists the guest's processes")
    found = {(int(row["PID"]), str(row["COMM"])) for row in listed}
    # /proc gives kernel threads' full names, and adds what a worker is at.
    expected = {(int(pid), re.sub(r"^(kworker/[^-+]*)[-+].*", r"\1", name)[:TASK_NAME]) for pid, _, name in (line.partition(" ") for line in said.splitlines()) if name not in PASSING}
    verdict.fact(f"{len(found)} processes listed, {len(expected)} expected among them")
    verdict.require(len(expected) >= LEAST_PROCESSES, f"the guest named {len(expected)} processes only")
    verdict.differences("not listed", [f"{pid} {name}" for pid, name in sorted(expected - found)])
    return verdict
