# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Xen as a second, unrelated kernel: it starts all CPUs, sets up its own page tables and interrupts, and runs Debian's
kernel as its first domain without hardware virtualisation. Debian ships it as a UEFI program that reads xen.cfg.
"""

from __future__ import annotations

from pathlib import Path

from . import debian

PACKAGE = "xen-hypervisor-4.17-amd64"
PROGRAM = "\\EFI\\xen\\xen.efi"


def system_files(folder: Path, kernel: Path, initrds: list[Path], command_line: str) -> dict[str, Path]:
    """Files for the system partition; `folder` takes those that are made here."""
    package = debian.unpacked(PACKAGE)
    config = folder / "xen.cfg"
    config.write_text("[global]\ndefault=lab\n[lab]\n"
                      # QEMU's TCG announces MWAIT and raises #GP for its hints, and has IRET at user level read the
                      # stack as the supervisor, which SMAP forbids (QEMU before 9.1).
                      "options=cpuidle=0 smap=0 console=com1 com1=115200,8n1 loglvl=info noreboot=1 dom0_mem=768M dom0_max_vcpus=1\n"
                      f"kernel=vmlinuz.efi {command_line}\nramdisk=initrd.img\n", encoding="ascii")
    initrd = folder / "xen-initrd.img"
    initrd.write_bytes(b"".join(path.read_bytes() for path in initrds))
    return {"EFI/xen/xen.efi": package.only("boot", "xen-*.efi"), "EFI/xen/xen.cfg": config,
            "EFI/xen/vmlinuz.efi": kernel, "EFI/xen/initrd.img": initrd}
