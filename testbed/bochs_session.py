# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One `lab run --emulator bochs`: the same contract as session.Session, with what Bochs can say of a run."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

from . import bochs, bochs_images, guest, kernel, run
from .request import Request
from .session import CMDLINE, copy_disks, say, workload_path, write_report

SYSTEM, DATA, CD = "ata0-master", ["ata1-master", "ata0-slave"], "ata1-slave"
FIRMWARE_STEPS = ["BdsDxe: starting", "boot loader: Linux"]
# Nothing comes after these, but Bochs would go on to its limit.
FATAL = ["X64 Exception Type", "Kernel panic", "boot loader error"]
DRAIN_SECONDS = "1200"  # of the guest's time, which flies while it idles
POLL_SECONDS = 0.05


class BochsSession:
    """Prepares and performs a run; `report` is what becomes report.json."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.folder = request.out.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.report: dict[str, object] = {}
        self.timings: dict[str, float] = {}
        self.machine: bochs.Machine | None = None
        self._terminal, self._guest_end = os.openpty()

    def prepare(self) -> bochs.Machine:
        """Makes images and the machine; fast when the cache is warm."""
        begin = time.monotonic()
        request = self.request
        self._refuse_what_bochs_has_not()
        linux = kernel.stock()
        machine = bochs.Machine(
            folder=self.folder, firmware=request.firmware, cpus=request.cpus, memory_mib=_mebibytes(request.memory),
            nic=request.sensor is not None if request.sensor_nic is None else request.sensor_nic,
            nic_peer=request.nic_netdev != "null", link=os.ttyname(self._guest_end),
            instruction_limit=request.instruction_limit, instrument=request.instrument, dumps=request.dumps, dump_at=request.dump_at,
            peer=request.peer, extra=request.bochs_lines)
        self._make_drives(linux, machine)
        for stale in (machine.console, machine.sensor_log, machine.log, machine.output, machine.counts):
            stale.unlink(missing_ok=True)
        machine.write()
        self.machine = machine
        self.report = {
            "workload": request.workload, "emulator": "bochs", "sensor": asdict(request.sensor) if request.sensor else None,
            "kernel": linux.describe(), "firmware": request.firmware, "command": machine.arguments(),
            "config": machine.config().splitlines(), "disks": [asdict(drive) for drive in machine.drives.values()],
            "console": str(machine.console), "sensor_log": str(machine.sensor_log), "settings": request.settings}
        self.timings["prepare_s"] = round(time.monotonic() - begin, 3)
        return machine

    def _refuse_what_bochs_has_not(self) -> None:
        request = self.request
        wrong = {"--payload": request.payload, "--xen": request.beneath_xen, "--interactive": request.interactive,
                 "--blklog": request.log_writes, "--trace": request.trace_reads, "--guest-nic": request.guest_nic}
        for option, given in wrong.items():
            if given:
                raise bochs.BochsError(f"{option} is for QEMU only")
        if len(request.disks) > len(DATA):
            raise bochs.BochsError(f"there is room for {len(DATA)} test disks")

    def _make_drives(self, linux: kernel.Kernel, machine: bochs.Machine) -> None:
        request = self.request
        settings = {"WORKLOAD": request.workload, "DISKS": " ".join(f"test{number}" for number in range(len(request.disks))),
                    "DISK_NAMES": "model", "GUEST_NET": "0", "CPUS": str(request.cpus), "POWER_OFF": "bochs",
                    "DRAIN": "1" if request.drain else "0", "DRAIN_SECONDS": DRAIN_SECONDS, **request.settings}
        extra = {name: path.read_bytes() for name, path in request.guest_files.items()}
        archive = guest.run_archive(workload_path(request.workload), settings, extra)
        line = f"{CMDLINE} {bochs_images.KERNEL_OPTIONS} {request.kernel_options}".strip()
        image = self.folder / "system.raw"
        sensor = request.sensor
        files = {sensor.program.name: sensor.program, "core.elf": sensor.core, "undercroft.conf": sensor.config} if sensor else {}
        if request.firmware == "uefi":
            bochs_images.uefi_disk(linux, image, line, archive, files)
        else:
            bochs_images.bios_disk(linux, image, line, archive)
        machine.drives[SYSTEM] = bochs.Drive(image, "system")
        for number, (place, disk) in enumerate(zip(DATA, copy_disks(self.folder, request.disks))):
            machine.drives[place] = bochs.Drive(disk, f"test{number}")
        if sensor and request.firmware == "bios":
            bochs_images.sensor_cd(self.folder / "sensor.iso", files, request.sensor_entry)
            machine.drives[CD] = bochs.Drive(self.folder / "sensor.iso", "", cd=True)
            machine.boot_from = "cdrom"

    def run(self, hooks: run.Hooks | None = None) -> run.Outcome:
        """Runs the prepared machine and writes report.json."""
        machine = self.machine or self.prepare()
        hooks = hooks or run.Hooks(on_event=say)
        hooks.watch += [*FIRMWARE_STEPS, *FATAL, *self.request.watch]
        outcome = run.Outcome()
        begin = time.monotonic()
        with open(machine.output, "wb") as output:
            process = subprocess.Popen(machine.arguments(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       env=machine.environment(), cwd=self.folder)
            try:
                self._follow(process, outcome, begin, hooks)
            finally:
                if process.poll() is None:
                    outcome.cpu_seconds = run.processor_seconds(process.pid)
                    process.kill()  # its debugger keeps SIGTERM from it
                process.wait()
                for end in (self._terminal, self._guest_end):
                    with contextlib.suppress(OSError):
                        os.close(end)
        outcome.seconds = round(time.monotonic() - begin, 3)
        self._add_outcome(machine, outcome, process.returncode)
        self.write_report()
        return outcome

    def _follow(self, process: subprocess.Popen[bytes], outcome: run.Outcome, begin: float, hooks: run.Hooks) -> None:
        assert self.machine
        console = self.machine.console
        reader = run.ConsoleReader(self.folder, outcome, lambda text: hooks.on_event(text, time.monotonic() - begin), hooks.watch)
        position = drained = 0
        while True:
            ended = process.poll() is not None
            now = time.monotonic() - begin
            if not ended:
                outcome.cpu_seconds = run.processor_seconds(process.pid)
            position = run.read_on(console, position, reader, now)
            if not drained and outcome.reached("drain"):
                drained = 1
                self._drain()
            if ended:
                return
            fatal = [pattern for pattern in FATAL if pattern in outcome.seen]
            if fatal:
                outcome.state, outcome.error = "crashed", f"the console shows {fatal[0]!r}"
                return
            if hooks.on_tick:
                hooks.on_tick(now)
            if hooks.stop_after and hooks.stop_after(outcome, now):
                outcome.state = "stopped"
                return
            if now > self.request.timeout:
                outcome.state = "timeout"
                return
            time.sleep(POLL_SECONDS)

    def _drain(self) -> None:
        begin = time.monotonic()
        if self.request.drain:
            self.request.drain()
        self.timings["drained_in_s"] = round(time.monotonic() - begin, 3)
        os.write(self._terminal, b"continue\n")

    def _add_outcome(self, machine: bochs.Machine, outcome: run.Outcome, code: int) -> None:
        log = machine.log.read_text(encoding="utf-8", errors="replace") if machine.log.exists() else ""
        outcome.shutdown, ticks = bochs.ending(machine.output.read_text(encoding="utf-8", errors="replace"), log)
        if outcome.state == "running":
            outcome.state = run.judge(outcome)
        timings: dict[str, object] = {**self.timings, "bochs_s": outcome.seconds, "bochs_cpu_s": outcome.cpu_seconds}
        timings |= {f"{stage['stage']}_s": stage["host_s"] for stage in outcome.stages}
        self.report |= {
            "state": outcome.state, "shutdown": outcome.shutdown, "error": outcome.error, "timings": timings, "exit": code,
            "instructions": ticks, "stages": outcome.stages, "results": outcome.results, "guest_files": outcome.files,
            "seen": outcome.seen, "vmx_complaints": _complaints(log)}

    def write_report(self) -> Path:
        return write_report(self.folder, self.report)


def _mebibytes(text: str) -> int:
    """512M and 1G as Bochs counts."""
    match = re.fullmatch(r"(\d+)([MG])", text)
    if not match:
        raise bochs.BochsError(f"{text!r} is not a memory size such as 512M or 1G")
    return int(match.group(1)) << (10 if match.group(2) == "G" else 0)


def _complaints(log: str) -> list[str]:
    """What Bochs says of VM entries that fail and of triple faults."""
    found = re.findall(r"^\d+[ep]\[CPU\d+ *\] (.*(?:VMFAIL|VMENTER|VMLAUNCH|VMRESUME|VMX|[Tt]riple|shutdown).*)$", log, re.MULTILINE)
    return list(dict.fromkeys(found))[:40]
