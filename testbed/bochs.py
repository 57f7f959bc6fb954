# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Describes a machine for Bochs: Intel VT-x with EPT, PIIX3 IDE, 82540EM. Time is counted in instructions there, so a
run is the same every time, as long as nothing comes in from the network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = "bochs-bin"
OVMF = Path("/usr/share/ovmf/OVMF.fd")
BIOS = Path("/usr/share/bochs/BIOS-bochs-latest")
VGA_BIOS = Path("/usr/share/vgabios/vgabios.bin")
# Linux 6.1 hangs on the newer models (icelake, tigerlake), without a hypervisor too.
CPU_MODEL = "corei7_skylake_x"
TICKS_PER_SECOND = 50_000_000
START_OF_TIME = 1767225600  # 2026-01-01: the same in every run
HEADS, SECTORS_PER_TRACK, SECTOR = 16, 32, 512
CYLINDER = HEADS * SECTORS_PER_TRACK * SECTOR
SENSOR_NIC_MAC = "52:54:00:75:63:01"
SHUTDOWN = "shutdown requested"


class BochsError(Exception):
    """The machine cannot be made as described."""


@dataclass
class Drive:
    """A disk or CD image. The guest knows a disk by its `model`."""

    image: Path
    model: str
    cd: bool = False

    def options(self) -> str:
        if self.cd:
            return f"type=cdrom, path={self.image}, status=inserted"
        size = self.image.stat().st_size
        if size % CYLINDER or not 0 < size // CYLINDER < 1 << 16:
            raise BochsError(f"{self.image} has {size} bytes, which is no multiple of {CYLINDER >> 10} KiB or too much")
        return (f'type=disk, path={self.image}, mode=flat, cylinders={size // CYLINDER}, heads={HEADS}, '
                f'spt={SECTORS_PER_TRACK}, model="{self.model}", translation=lba')


@dataclass
class Machine:
    """Everything that becomes Bochs's configuration. Files are in `folder`, where Bochs runs."""

    folder: Path
    firmware: str = "uefi"
    cpus: int = 1
    memory_mib: int = 512
    drives: dict[str, Drive] = field(default_factory=dict)  # keys such as ata0-master
    boot_from: str = "disk"
    nic: bool = False
    nic_peer: bool = True
    link: str = ""  # terminal for COM2, where a waiting guest hears from the host
    instruction_limit: int = 0
    instrument: Path | None = None
    peer: Path | None = None  # library that lets sends wait for their answers, for the sake of equal runs
    dumps: bool = False  # `instrument` dumps memory before the first VM entry and when the workload begins
    dump_at: int | None = None  # with `dumps`: also whenever the sensor comes to the instruction at this offset of its memory
    extra: list[str] = field(default_factory=list)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def sensor_log(self) -> Path:
        return self.folder / "sensor.log"

    @property
    def log(self) -> Path:
        return self.folder / "bochs.log"

    @property
    def output(self) -> Path:
        """What Bochs and its debugger print."""
        return self.folder / "bochs.out"

    @property
    def counts(self) -> Path:
        """Written by `instrument`."""
        return self.folder / "counts.jsonl"

    def config(self) -> str:
        if self.cpus != 1 and self.firmware == "uefi":
            raise BochsError("OVMF finds no ACPI tables in Bochs, so Linux would use one CPU only: take --firmware bios")
        rom = f"file={OVMF}" if self.firmware == "uefi" else f"file={BIOS}, options=fastboot"
        lines = [
            "config_interface: textconfig", "display_library: sdl2",
            f"cpu: model={CPU_MODEL}, count={self.cpus}, ips={TICKS_PER_SECOND}, reset_on_triple_fault=0, ignore_bad_msrs=1",
            f"memory: guest={self.memory_mib}, host={self.memory_mib}", f"romimage: {rom}", f"vgaromimage: file={VGA_BIOS}",
            "pci: enabled=1, chipset=i440fx", f"clock: sync=none, time0={START_OF_TIME}",
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14", "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
            *(f"{place}: {drive.options()}" for place, drive in self.drives.items()),
            f"boot: {self.boot_from}",
            f"com1: enabled=1, mode=file, dev={self.console}", f"com3: enabled=1, mode=file, dev={self.sensor_log}",
            "panic: action=fatal", "error: action=report", "info: action=report", "debug: action=ignore", f"log: {self.log}",
            "mouse: enabled=0", "speaker: enabled=0", "sound: driver=dummy", *self.extra]
        if self.link:
            lines.append(f"com2: enabled=1, mode=term, dev={self.link}")
        if self.nic:
            peer = f"slirp, script={self.folder / 'slirp.conf'}" if self.nic_peer else "null"
            lines.append(f"e1000: enabled=1, mac={SENSOR_NIC_MAC}, ethmod={peer}")
        return "".join(f"{line}\n" for line in lines)

    def write(self) -> None:
        (self.folder / "bochsrc").write_text(self.config(), encoding="utf-8")
        (self.folder / "slirp.conf").write_text("# slirp config\n", encoding="ascii")
        limit = f"sba {self.instruction_limit}\n" if self.instruction_limit else ""
        # At the limit the debugger's prompt comes, and with it the end of this script, then of its input.
        (self.folder / "debugger.rc").write_text(f"{limit}c\nq\n", encoding="ascii")

    def arguments(self) -> list[str]:
        return [PROGRAM, "-q", "-unlock", "-f", str(self.folder / "bochsrc"), "-rc", str(self.folder / "debugger.rc")]

    def environment(self) -> dict[str, str]:
        values = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
        if libraries := [str(library) for library in (self.instrument, self.peer) if library]:
            values["LD_PRELOAD"] = ":".join(libraries)
        if self.instrument:
            values["UNDERCROFT_COUNTS"] = str(self.counts)
        if self.dumps:
            values |= {"UNDERCROFT_DUMPS": str(self.folder), "UNDERCROFT_MEMORY": str(self.memory_mib << 20)}
            if self.dump_at is not None:
                values["UNDERCROFT_DUMP_AT"] = f"{self.dump_at:x}"
        return values


def ending(output: str, log: str) -> tuple[str, int]:
    """Why Bochs ended, in QEMU's words, and after how many instructions ("ticks" of all CPUs)."""
    ticks = re.findall(r"^\(\d+\)\.?\s?\[(\d+)\]", output, re.MULTILINE) + re.findall(r"^(\d{11,})[a-z]\[", log, re.MULTILINE)
    last = max((int(value) for value in ticks), default=0)
    if SHUTDOWN in output or SHUTDOWN in log:
        return "guest-shutdown", last
    if "Caught time breakpoint" in output:
        return "instruction-limit", last
    panic = re.search(r"exiting with the following message:\s*(.*)", output)
    return f"panic: {panic.group(1).strip()}" if panic else "", last
