# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Sensor:
    """The three files that go to \\EFI\\undercroft on the system partition."""

    program: Path
    core: Path
    config: Path


@dataclass
class DiskWish:
    """A test disk to make, as `--disk` describes it."""

    size: int
    sector: int = 512
    bus: str = "ahci"
    base: Path | None = None


@dataclass
class Request:
    """All settings of a run."""

    out: Path
    workload: str = "boot"
    emulator: str = "qemu"  # or bochs
    firmware: str = "uefi"  # or bios
    cpus: int = 1
    memory: str = "2G"
    chipset: str = "q35"  # or pc: an i440FX, all disks on its PIIX3's IDE channels
    accelerator: str = "tcg"  # of machine.ACCELERATORS
    cpu_model: str = ""
    sensor: Sensor | None = None
    sensor_as: str = "boot"  # or driver, or chain (the sensor itself starts the next program)
    disks: list[DiskWish] = field(default_factory=list)
    log_writes: bool = False
    trace_reads: bool = False
    sensor_nic: bool | None = None
    guest_nic: bool = False
    nic_model: str = "e1000e"
    nic_netdev: str = "user"  # with Bochs also null: nobody answers, and runs are the same to the instruction
    nic_rom: bool = False
    timeout: float = 300.0
    kernel_options: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    guest_files: dict[str, Path] = field(default_factory=dict)
    qemu_arguments: list[str] = field(default_factory=list)
    beneath_xen: bool = False  # Xen boots first and runs Linux as its first domain
    sensor_entry: str = ""  # BIOS: GRUB commands that start the sensor, if not the usual ones
    instruction_limit: int = 400_000_000_000  # Bochs: where a run is ended, the clock aside
    instrument: Path | None = None  # Bochs: library that counts from outside
    peer: Path | None = None  # library that lets the card's sends wait for their answers, so that runs are equal
    dumps: bool = False  # Bochs: `instrument` dumps memory
    dump_at: int | None = None  # Bochs: and also at this offset in the sensor
    bochs_lines: list[str] = field(default_factory=list)
    payload: Path | None = None
    payload_options: str = ""
    interactive: bool = False
    tools: Path | None = None  # a tools disk other than the usual one
    drain: Callable[[], object] | None = None  # called when the workload is over; the guest waits for it
    watch: list[str] = field(default_factory=list)
