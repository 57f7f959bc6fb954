# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What Bochs boots from. The parts that are the same in every run are made once (cache.py)."""

from __future__ import annotations

from pathlib import Path

from . import bochs, boot_disk, cache, cpio, esp, grub, guest, kernel, linux_image

UEFI_MIB = 96
BIOS_MIB = 64
LOADERS = [linux_image.SOURCES / "disk_linux.S", linux_image.SOURCES / "uefi_linux.cpp"]
# CPUID promises 3.5 GHz, but the time-stamp counter counts instructions, of which the machine's clocks see 50 million
# a second; Linux believes CPUID and then waits 70 times too long. Its tests of its own cryptography are left out: they
# take 750 million instructions.
KERNEL_OPTIONS = f"tsc_early_khz={bochs.TICKS_PER_SECOND // 1000} cryptomgr.notests"
SENSOR_FOLDER = "EFI/undercroft"
# 0x80 is the BIOS's first hard disk.
SENSOR_SCRIPT = """multiboot2 /undercroft/undercroft.mb2 boot_drive=0x80
module2 /undercroft/core.elf core.elf
module2 /undercroft/undercroft.conf undercroft.conf
boot
"""


def _key(linux: kernel.Kernel, *more: object) -> str:
    sources = [cache.SOURCE_ROOT / "guest/init", cache.SOURCE_ROOT / "guest/undercroft.sh", Path(guest.__file__), Path(cpio.__file__),
               Path(linux_image.__file__), Path(boot_disk.__file__), Path(__file__), *LOADERS]
    return cache.key("bochs 1", linux.package, linux.version, *sources, Path("/bin/busybox"), *more)


def uefi_disk(linux: kernel.Kernel, target: Path, command_line: str, run_archive: bytes, sensor: dict[str, Path]) -> None:
    """A disk with an EFI system partition from which the firmware starts our loader. `sensor`: files for its folder."""

    def make(folder: Path) -> None:
        unpacked = linux_image.unpack(linux.image)
        (folder / "vmlinux").write_bytes(linux_image.elf_file(unpacked.segments, unpacked.entry))
        (folder / "setup_header.bin").write_bytes(unpacked.setup_header)
        (folder / "initrd.img").write_bytes(guest.initramfs(linux, guest.BOCHS_MODULES))
        loader = linux_image.efi_loader(folder)
        esp.create(folder / "disk.img", UEFI_MIB)
        esp.put(folder / "disk.img", {"EFI/BOOT/BOOTX64.EFI": loader, **{
            f"EFI/linux/{name}": folder / name for name in ("vmlinux", "setup_header.bin", "initrd.img")}})
        (folder / "vmlinux").unlink()

    made = cache.build("bochs-uefi", _key(linux, UEFI_MIB), make)
    esp.copy_image(made / "disk.img", target)
    line, archive = target.with_name("command_line.txt"), target.with_name("run.img")
    line.write_text(command_line, encoding="ascii")
    archive.write_bytes(run_archive)
    esp.put(target, {"EFI/linux/command_line.txt": line, "EFI/linux/run.img": archive,
                     **{f"{SENSOR_FOLDER}/{name}": path for name, path in sensor.items()}})


def bios_disk(linux: kernel.Kernel, target: Path, command_line: str, run_archive: bytes) -> None:
    """A disk that boots the kernel from its first sector."""

    def make(folder: Path) -> None:
        unpacked = linux_image.unpack(linux.image)
        boot_disk.write_system(folder / "disk.img", linux_image.disk_loader(folder), unpacked, BIOS_MIB << 20)
        (folder / "initrd.img").write_bytes(guest.initramfs(linux, guest.BOCHS_MODULES))

    made = cache.build("bochs-bios", _key(linux, BIOS_MIB), make)
    esp.copy_image(made / "disk.img", target)
    boot_disk.finish(target, command_line, (made / "initrd.img").read_bytes() + run_archive)


def sensor_cd(target: Path, files: dict[str, Path], script: str) -> None:
    """A CD from which GRUB starts the sensor, which then boots the disk."""
    grub.make_cd(target, target.parent, script or SENSOR_SCRIPT, {f"undercroft/{name}": path for name, path in files.items()})
