# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Describes an emulated machine and gives the QEMU command line for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
ESP_PORT = 0
FIRST_DISK_PORT = 1
SENSOR_NICS = {"e1000": "e1000", "e1000e": "e1000e", "virtio": "virtio-net-pci"}  # the sensor's name for it, QEMU's
HOST_SEEN_BY_SENSOR = "10.0.2.2"
# icount: time is counted in instructions, and what the host is doing hardly tells on the guest.
ACCELERATORS = {"kvm": "kvm", "tcg": "tcg,thread=multi", "icount": "tcg,thread=single"}
PIIX = "pata"  # the PIIX3 controller of disks on bus ide


class MachineError(Exception):
    """The machine cannot be made as described."""


@dataclass
class Disk:
    """A test disk. QEMU's AHCI disks have logical sectors of 512 bytes always; there 4096 is the physical size (512e).

    `log` wraps it in QEMU's blklogwrites: every write, flush and discard goes to that file too.
    """

    image: Path
    serial: str
    sector: int = 512
    log: Path | None = None
    bus: str = "ahci"  # or nvme, or ide (a PIIX3 controller beside the AHCI one), or piix (the chipset's own)

    def node(self) -> str:
        return f"disk-{self.serial}"

    def arguments(self, port: int) -> list[str]:
        logical = self.sector if self.bus == "nvme" else 512
        raw: dict[str, object] = {"driver": "raw", "node-name": self.node(), "discard": "unmap", "detect-zeroes": "off",
                                  "file": {"driver": "file", "filename": str(self.image), "discard": "unmap"}}
        node = self.node()
        blockdevs = [raw]
        if self.log:
            node = f"logged-{self.serial}"
            blockdevs.append({"driver": "blklogwrites", "node-name": node, "file": self.node(),
                              "discard": "unmap", "log-sector-size": logical,
                              "log": {"driver": "file", "filename": str(self.log)}})
        sizes = f"logical_block_size={logical},physical_block_size={self.sector}"
        if self.bus == "nvme":
            device = f"nvme,serial={self.serial},drive={node},{sizes}"
        elif self.bus == "piix":  # of the chipset; the first place is the system partition's
            device = f"ide-hd,bus=ide.{port // 2},unit={port % 2},drive={node},serial={self.serial},{sizes}"
        elif self.bus == "ide":
            device = f"ide-hd,bus={PIIX}.{port // 2},unit={port % 2},drive={node},serial={self.serial},{sizes}"
        else:
            device = f"ide-hd,bus=ide.{port},drive={node},serial={self.serial},{sizes}"
        arguments: list[str] = []
        for blockdev in blockdevs:
            arguments += ["-blockdev", json.dumps(blockdev)]
        return [*arguments, "-device", device]


@dataclass
class Machine:
    """Everything that becomes the QEMU command line. Files are in `folder`."""

    folder: Path
    esp: Path  # or, with a BIOS, the disk with GRUB
    vars: Path | None  # None: SeaBIOS
    socket_folder: Path
    tools: Path | None = None
    cpus: int = 1
    memory: str = "2G"
    chipset: str = "q35"  # or pc
    accelerator: str = "tcg"
    cpu_model: str = ""
    disks: list[Disk] = field(default_factory=list)
    sensor_nic: bool = False
    guest_nic: bool = False
    nic_model: str = "e1000e"  # of SENSOR_NICS
    nic_netdev: str = "user"
    nic_rom: bool = False
    video: bool = False  # memtest86+ refuses to start without a frame buffer
    interactive: bool = False
    trace_events: list[str] = field(default_factory=list)
    peer: Path | None = None  # library that lets the card's sends wait for their answers
    extra: list[str] = field(default_factory=list)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def sensor_log(self) -> Path:
        return self.folder / "sensor.log"

    @property
    def trace_file(self) -> Path:
        return self.folder / "trace.log"

    @property
    def control_socket(self) -> Path:
        """QMP. UNIX socket names are limited to 107 bytes, so it does not live in a possibly deep `folder`."""
        return self.socket_folder / "qmp.sock"

    @property
    def link_socket(self) -> Path:
        """COM2: a line sent here lets a guest go on that waits for the host."""
        return self.socket_folder / "link.sock"

    def _console_arguments(self) -> list[str]:
        if not self.interactive:
            return ["-serial", f"file:{self.console}"]
        return ["-chardev", f"stdio,id=console,signal=off,logfile={self.console}", "-serial", "chardev:console"]

    def _firmware_arguments(self) -> list[str]:
        if not self.vars:
            return ["-machine", "graphics=off"]  # what goes to the screen goes to COM1, too
        return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                "-drive", f"if=pflash,format=raw,unit=1,file={self.vars}"]

    def arguments(self) -> list[str]:
        model = self.cpu_model or ("host,+svm" if self.accelerator == "kvm" else "EPYC,+svm,+npt")
        preload = ["env", f"LD_PRELOAD={self.peer}"] if self.peer else []
        result = [*preload, "qemu-system-x86_64", "-machine", self.chipset, "-cpu", model, "-m", self.memory, "-smp", str(self.cpus),
                  "-accel", ACCELERATORS[self.accelerator], "-nodefaults",
                  "-display", "none", "-vga", "std" if self.video else "none", "-no-reboot", "-action", "shutdown=pause",
                  *self._firmware_arguments(),
                  "-drive", f"if=none,id=esp,format=raw,file={self.esp}",
                  "-device", f"ide-hd,drive=esp,bus=ide.{ESP_PORT},serial=esp",
                  *self._console_arguments(), "-chardev", f"socket,id=link,path={self.link_socket},server=on,wait=off",
                  "-serial", "chardev:link", "-serial", f"file:{self.sensor_log}",
                  "-monitor", "none", "-qmp", f"unix:{self.control_socket},server=on,wait=off"]
        if self.accelerator == "icount":
            result += ["-icount", "shift=1,sleep=off"]
        if self.tools:
            result += ["-drive", f"if=none,id=tools,format=raw,readonly=on,file={self.tools}",
                       "-device", "virtio-blk-pci,drive=tools,serial=tools,romfile="]
        if any(disk.bus == "ide" for disk in self.disks):
            result += ["-device", f"piix3-ide,id={PIIX}"]
        for offset, disk in enumerate(self.disks):
            port = offset if disk.bus == "ide" else FIRST_DISK_PORT + offset
            if port > 5 and disk.bus == "ahci":
                raise MachineError("q35 has six AHCI ports; the first is the system partition's")
            result += disk.arguments(port)
        rom = "" if self.nic_rom else ",romfile="
        if self.sensor_nic:
            result += ["-device", f"{SENSOR_NICS[self.nic_model]},netdev=n1,mac=52:54:00:75:63:01{rom}",
                       "-netdev", self._sensor_netdev()]
        if self.guest_nic:
            result += ["-device", f"virtio-net-pci,netdev=n2,mac=52:54:00:75:63:02{rom}",
                       "-netdev", "user,id=n2,net=10.0.3.0/24,restrict=on"]
        if self.trace_events:
            result += ["-D", str(self.trace_file)]
        for event in self.trace_events:
            result += ["-trace", f"enable={event}"]
        return result + self.extra

    def _sensor_netdev(self) -> str:
        return "user,id=n1" if self.nic_netdev == "user" else f"{self.nic_netdev},id=n1"
