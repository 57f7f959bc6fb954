# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A disk for BIOS machines with GRUB, the sensor and Linux on it.

GRUB runs twice, as on a machine with one disk: the first time it starts the sensor, whose loader then starts the same
boot sector beneath itself; the second time grub.cfg sees the loader's mark in the BIOS data area and boots Linux.
"""

from __future__ import annotations

from pathlib import Path

from . import cache, esp, grub, guest, kernel

DISK_MIB = 128
MODULES = ["biosdisk", "part_msdos", "fat", "normal", "configfile", "linux", "multiboot2", "memrw", "test", "echo", "serial"]
START_SCRIPT = "configfile ($root)/grub.cfg\n"
LOADER = "undercroft.mb2"

# hypervisor/boot/multiboot2/low.hpp: the mark counts while INT 15h still leads to the loader's segment.
GRUB_CONFIG = """\
serial --unit=0 --speed=115200
terminal_output console serial
set mark=
read_dword -v mark 0x4f0
read_word -v holder 0x4f4
read_word -v vector 0x56
if [ "$holder" != "$vector" ]; then
  set mark=
fi
if [ -f /undercroft.mb2 -a "$mark" != 31746355 -a "$mark" != 30746355 ]; then
  echo "GRUB: the sensor"
  multiboot2 /undercroft.mb2@OPTIONS@
  module2 /core.elf
  module2 /undercroft.conf
  boot
fi
echo "GRUB: Linux, mark $mark"
linux /vmlinuz @CMDLINE@
initrd /initrd.img /run.img
boot
"""


def base_disk(linux: kernel.Kernel, boot: Path) -> Path:
    """A cached disk image with GRUB, kernel and initramfs."""
    name = cache.key("bios 1", linux.package, linux.version, DISK_MIB, MODULES, START_SCRIPT, boot.name, Path(__file__))

    def make(folder: Path) -> None:
        grub.make_disk(folder / "bios.img", DISK_MIB, START_SCRIPT,
                       {"vmlinuz": linux.image, "initrd.img": boot / "initrd.img"}, MODULES)

    return cache.build("bios", name, make) / "bios.img"


def make_disk(image: Path, run_archive: Path, command_line: str, sensor: dict[str, Path], options: str = "") -> None:
    """This run's disk. `sensor`: the loader, core.elf and undercroft.conf; empty: Linux starts at once."""
    linux, boot, _, _ = guest.prepare()
    esp.copy_image(base_disk(linux, boot), image)
    config = image.with_name("grub.cfg")
    text = GRUB_CONFIG.replace("@CMDLINE@", command_line).replace("@OPTIONS@", f" {options}" if options else "")
    config.write_text(text, encoding="ascii")
    grub.put(image, {"grub.cfg": config, "run.img": run_archive, **sensor})
