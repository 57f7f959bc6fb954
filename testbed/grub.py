# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Boot media for BIOS machines: a disk that GRUB boots from, and a CD whose GRUB starts the sensor.

GRUB runs a script that is part of its core image: no menu, no waiting.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

MODULES = Path("/usr/lib/grub/i386-pc")
SECTOR = 512
FIRST_SECTOR = 2048
DISK_MODULES = ["biosdisk", "part_msdos", "fat", "multiboot"]
CD_MODULES = ["biosdisk", "iso9660", "multiboot2"]
EL_TORITO = "boot/grub/eltorito.img"
SERIAL_TERMINAL = "serial --unit=2 --speed=115200\nterminal_output serial\n"


class GrubError(Exception):
    """GRUB is not installed, or one of its tools failed."""


def _run(command: list[str], **more: object) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    except FileNotFoundError as error:
        raise GrubError(f"{command[0]} is missing: run tools/setup") from error
    if done.returncode != 0:
        raise GrubError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-600:]}")


def core_image(target: Path, form: str, prefix: str, modules: list[str], script: str) -> None:
    """GRUB's core with these modules, running `script` (one simple command a line) when it starts."""
    config = target.with_suffix(".cfg")
    config.write_text(script, encoding="ascii")
    _run(["grub-mkimage", "-O", form, "-d", str(MODULES), "-o", str(target), "-p", prefix, "-c", str(config), *modules])


def make_disk(image: Path, size_mib: int, script: str, files: dict[str, Path], modules: list[str] | None = None) -> None:
    """A disk with one FAT32 partition holding `files`, and GRUB in its first sectors."""
    with open(image, "wb") as handle:
        handle.truncate(size_mib << 20)
    sectors = (size_mib << 20) // SECTOR - FIRST_SECTOR
    _run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(image)],
         input=f"label: dos\nlabel-id: 0x75636674\nunit: sectors\nstart={FIRST_SECTOR}, size={sectors}, type=c, bootable\n")
    part = f"{image}@@{FIRST_SECTOR * SECTOR}"
    _run(["mformat", "-i", part, "-F", "-N", "00000000", "-v", "SYSTEM", "-T", str(sectors), "-h", "16", "-s", "32",
          "-H", str(FIRST_SECTOR), "::"])
    for name, source in files.items():
        _run(["mcopy", "-o", "-i", part, str(source), f"::{name}"], stdin=subprocess.DEVNULL)
    core = image.with_suffix(".core")
    core_image(core, "i386-pc", "(,msdos1)/", modules or DISK_MODULES, script)
    _install(image, core.read_bytes())


def put(image: Path, files: dict[str, Path]) -> None:
    """Copies files into the partition's top folder."""
    for name, source in files.items():
        _run(["mcopy", "-o", "-i", f"{image}@@{FIRST_SECTOR * SECTOR}", str(source), f"::{name}"], stdin=subprocess.DEVNULL)


def _install(image: Path, core: bytes) -> None:
    """What grub-bios-setup does, without a device: boot.img in the first sector, the core right behind it.

    boot.img loads sector 1, the first of the core, whose last 12 bytes say where the rest is: from sector 2 on.
    """
    start, _, length, _ = struct.unpack_from("<IIHH", core, SECTOR - 12)
    if start != 2 or length != -(-len(core) // SECTOR) - 1 or len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise GrubError(f"GRUB's core image has an unexpected block list: {start}, {length}")
    boot = (MODULES / "boot.img").read_bytes()
    with open(image, "r+b") as handle:
        old = handle.read(SECTOR)
        handle.seek(0)
        handle.write(boot[:0x1B8] + old[0x1B8:])  # disk signature and partition table stay
        handle.write(core)


def make_cd(image: Path, work: Path, script: str, files: dict[str, Path]) -> None:
    """A CD that boots (El Torito, no emulation) into GRUB's `script`; `files` by their paths on it."""
    core_image(work / "eltorito.img", "i386-pc-eltorito", "(cd)/", CD_MODULES, script)
    mapping = [f"/{name}={source}" for name, source in {**files, EL_TORITO: work / "eltorito.img"}.items()]
    _run(["xorriso", "-as", "mkisofs", "-quiet", "-graft-points", "-b", EL_TORITO, "-no-emul-boot", "-boot-load-size", "4",
          "-boot-info-table", "-o", str(image), *mapping])
