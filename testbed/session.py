# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One `lab run`: prepares files, assembles the machine, runs it and writes report.json."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from . import bios_boot, cache, esp, guest, nvram, xen
from .machine import ESP_PORT, OVMF_CODE, OVMF_VARS, Disk, Machine
from .monitor import Monitor
from .request import DiskWish, Request
from .run import Hooks, Outcome, run
from .witness import qemu_trace

KERNEL_PATH = "\\EFI\\linux\\vmlinuz.efi"
SENSOR_PATH = "\\EFI\\undercroft\\undercroft.efi"
CMDLINE = "console=ttyS0,115200 loglevel=4 panic=-1"
FIRMWARE_STEPS = ["BdsDxe: loading", "BdsDxe: starting .*linux", "EFI stub: Loaded initrd"]
INITRDS = "initrd=\\EFI\\linux\\initrd.img initrd=\\EFI\\linux\\run.img"


def say(text: str, seconds: float | None = None) -> None:
    stamp = "" if seconds is None else f"{seconds:7.2f} s  "
    with contextlib.suppress(BrokenPipeError):
        print(f"lab: {stamp}{text}", file=sys.stderr, flush=True)


class Session:
    """Prepares and performs a run; `report` is what becomes report.json."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.folder = request.out.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.report: dict[str, object] = {}
        self.timings: dict[str, float] = {}
        self._link: socket.socket | None = None
        self.machine: Machine | None = None
        self.outcome: Outcome | None = None

    def prepare(self) -> Machine:
        """Makes images and the machine; fast when the cache is warm."""
        begin = time.monotonic()
        request = self.request
        linux, boot, tools, _ = guest.prepare()
        image, variables = self._bios_media() if request.firmware == "bios" else self._uefi_media(boot)
        self.machine = Machine(
            folder=self.folder, esp=image, vars=variables, tools=tools,
            socket_folder=Path(tempfile.mkdtemp(prefix="undercroft-lab-")), cpus=request.cpus, memory=request.memory, chipset=request.chipset,
            accelerator=request.accelerator, cpu_model=request.cpu_model, disks=self._disks(),
            sensor_nic=request.sensor is not None if request.sensor_nic is None else request.sensor_nic,
            guest_nic=request.guest_nic, nic_model=request.nic_model, nic_netdev=request.nic_netdev, nic_rom=request.nic_rom,
            video=request.payload is not None, interactive=request.interactive,
            trace_events=list(qemu_trace.EVENTS) if request.trace_reads else [], peer=request.peer,
            extra=request.qemu_arguments)
        for stale in (self.machine.console, self.machine.sensor_log, self.machine.trace_file):
            stale.unlink(missing_ok=True)
        self.report = {
            "workload": request.workload, "sensor": asdict(request.sensor) if request.sensor else None,
            "kernel": linux.describe(), "firmware": str(OVMF_CODE) if variables else "SeaBIOS", "qemu": qemu_version(),
            "command": self.machine.arguments(), "disks": [asdict(disk) for disk in self.machine.disks],
            "console": str(self.machine.console), "sensor_log": str(self.machine.sensor_log),
            "trace": str(self.machine.trace_file) if request.trace_reads else None,
            "settings": request.settings}
        self.timings["prepare_s"] = round(time.monotonic() - begin, 3)
        return self.machine

    def run(self, hooks: Hooks | None = None) -> Outcome:
        """Runs the prepared machine and writes report.json."""
        machine = self.machine or self.prepare()
        hooks = hooks or Hooks(on_event=say)
        hooks.interactive = self.request.interactive
        hooks.watch += [*FIRMWARE_STEPS, *self.request.watch]
        on_stage = hooks.on_stage
        hooks.on_stage = lambda name, monitor: self._on_stage(name, monitor, on_stage)
        machine.socket_folder.mkdir(exist_ok=True)
        try:
            outcome = run(machine.arguments(), self.folder, machine.console, machine.control_socket,
                          self.request.timeout, hooks)
        finally:
            if self._link:
                self._link.close()
            shutil.rmtree(machine.socket_folder, ignore_errors=True)
        self.outcome = outcome
        self._add_outcome(outcome)
        self.write_report()
        return outcome

    def _on_stage(self, name: str, monitor: Monitor, then: Callable[[str, Monitor], None] | None) -> None:
        """Notes each CPU's EFER when the workload starts: beneath the sensor, SVME is set on all of them."""
        if name == "workload":
            self.report["efer_at_workload"] = [f"{value:#x}" for value in monitor.efer()]
        if then:
            then(name, monitor)
        if name == "drain":
            begin = time.monotonic()
            if self.request.drain:
                self.request.drain()
            self.timings["drained_in_s"] = round(time.monotonic() - begin, 3)
            self.let_guest_continue()

    def let_guest_continue(self) -> None:
        """Answers a guest that waits on its second serial port."""
        assert self.machine
        # Stays open until the end of the run: QEMU drops what it has not read yet when the other side closes.
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._link.connect(str(self.machine.link_socket))
        self._link.sendall(b"continue\n")

    def _add_outcome(self, outcome: Outcome) -> None:
        timings: dict[str, object] = {**self.timings, "qemu_s": outcome.seconds,
                                     "qemu_cpu_s": outcome.cpu_seconds}
        timings |= {f"{stage['stage']}_s": stage["host_s"] for stage in outcome.stages}
        self.report |= {
            "state": outcome.state, "shutdown": outcome.shutdown, "error": outcome.error, "timings": timings,
            "qemu_exit": outcome.qemu_exit, "stages": outcome.stages, "results": outcome.results,
            "guest_files": outcome.files, "seen": outcome.seen, "block_statistics": outcome.block_statistics,
            "efer_at_end": [f"{value:#x}" for value in outcome.efer_at_end]}

    def write_report(self) -> Path:
        return write_report(self.folder, self.report)

    def _uefi_media(self, boot: Path) -> tuple[Path, Path]:
        image, variables = self.folder / "esp.img", self.folder / "vars.fd"
        esp.copy_image(boot / "esp.img", image)
        esp.put(image, self._system_files())
        nvram.write(OVMF_VARS, variables, self._boot_variables())
        return image, variables

    def _bios_media(self) -> tuple[Path, None]:
        image, sensor = self.folder / "system.img", self.request.sensor
        bios_boot.make_disk(image, self._run_archive(), f"{CMDLINE} {self.request.kernel_options}".strip(),
                            {bios_boot.LOADER: sensor.program, "core.elf": sensor.core, "undercroft.conf": sensor.config} if sensor else {})
        return image, None

    def _run_archive(self) -> Path:
        request = self.request
        archive = self.folder / "run.img"
        settings = {"WORKLOAD": request.workload, "DISKS": self._serials(), "GUEST_NET": "1" if request.guest_nic else "0",
                    "CPUS": str(request.cpus), "DRAIN": "1" if request.drain else "0", **request.settings}
        extra = {name: path.read_bytes() for name, path in request.guest_files.items()}
        archive.write_bytes(guest.run_archive(workload_path(request.workload), settings, extra))
        return archive

    def _system_files(self) -> dict[str, Path]:
        request = self.request
        archive = self._run_archive()
        files = {"EFI/linux/run.img": archive}
        if request.beneath_xen:
            linux, boot, _, _ = guest.prepare()
            files |= xen.system_files(self.folder, linux.image, [boot / "initrd.img", archive],
                                      f"console=hvc0 loglevel=4 panic=-1 {request.kernel_options}")
        if request.payload:
            files["EFI/payload/payload.efi"] = request.payload
        if request.sensor:
            files |= {"EFI/undercroft/undercroft.efi": request.sensor.program,
                      "EFI/undercroft/core.elf": request.sensor.core,
                      "EFI/undercroft/undercroft.conf": request.sensor.config}
        return files

    def _boot_variables(self) -> dict[str, bytes]:
        request = self.request
        system = nvram.BootEntry("Linux", KERNEL_PATH, f"{INITRDS} {CMDLINE} {request.kernel_options}".strip())
        if request.beneath_xen:
            system = nvram.BootEntry("Xen", xen.PROGRAM)
        if request.payload:
            system = nvram.BootEntry("Payload", "\\EFI\\payload\\payload.efi", request.payload_options)
        sensor = [nvram.BootEntry("Undercroft", SENSOR_PATH)] if request.sensor else []
        where = esp.partition(guest.ESP_MIB)
        port = ESP_PORT if request.chipset == "q35" else None
        if request.sensor_as == "driver":
            return nvram.boot_variables([system], port, where, drivers=sensor)
        return nvram.boot_variables([*sensor, system], port, where)

    def _serials(self) -> str:
        return " ".join(["tools", *(f"test{number}" for number in range(len(self.request.disks)))])

    def _disks(self) -> list[Disk]:
        disks = []
        images = copy_disks(self.folder, self.request.disks)
        for number, (wish, image) in enumerate(zip(self.request.disks, images)):
            log = self.folder / f"disk{number}.writes" if self.request.log_writes else None
            if log:
                log.write_bytes(b"")
            disks.append(Disk(image, f"test{number}", wish.sector, log, wish.bus if self.request.chipset == "q35" else "piix"))
        return disks


def copy_disks(folder: Path, wishes: list[DiskWish]) -> list[Path]:
    """The test disks' images: copies of their bases, or empty."""
    images = []
    for number, wish in enumerate(wishes):
        image = folder / f"disk{number}.raw"
        if wish.base:
            esp.copy_image(wish.base, image)
        else:
            image.unlink(missing_ok=True)
        with open(image, "ab") as handle:
            handle.truncate(max(wish.size, image.stat().st_size))
        images.append(image)
    return images


def write_report(folder: Path, report: dict[str, object]) -> Path:
    path = folder / "report.json"
    path.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    return path


def workload_path(name: str) -> Path:
    path = Path(name)
    if path.suffix == ".sh" and path.is_file():
        return path
    path = cache.SOURCE_ROOT / "workloads" / f"{name}.sh"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in path.parent.glob("*.sh")))
        raise FileNotFoundError(f"there is no workload {name!r}; known: {known}")
    return path


def qemu_version() -> str:
    path = shutil.which("qemu-system-x86_64")
    if not path:
        raise FileNotFoundError("qemu-system-x86_64 is missing: run tools/setup")
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
