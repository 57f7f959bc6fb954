# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The guest: Debian's kernel, a small initramfs, and a read-only tools disk with the host's programs.

The initramfs holds busybox, kernel modules and `guest/init`. A second archive, made anew for each run and laid
behind the first by the kernel, holds the workload and its settings. Programs such as fio live on a disk of their
own (virtio, which the sensor does not watch), so that booting stays quick.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from . import cache, cpio, esp, kernel

ESP_MIB = 128
TOOLS_SERIAL = "tools"
MODULES = ["virtio_pci", "virtio_blk", "sd_mod", "ahci", "ata_piix", "nvme", "crc32c_generic", "ext4", "vfat", "nls_ascii",
           "nls_cp437", "msr", "cpuid", "e1000e", "e1000", "virtio_net"]
# Every module costs Bochs time: the kernel checks its signature.
BOCHS_MODULES = ["ata_piix", "sd_mod", "msr"]
PROGRAMS = ["fio", "openssl", "gpg", "gpg-agent", "7z", "zip", "tar", "blkdiscard", "fstrim", "hdparm", "mkfs.ext4",
            "e2fsck", "stress-ng", "systemd-detect-virt", "lscpu", "cpuid", "date", "bash"]
EXTRA_FOLDERS = ["/usr/lib/7zip", "/usr/lib/p7zip"]


class GuestError(Exception):
    """A program or file that the guest needs is missing on the host."""


def boot_files(linux: kernel.Kernel) -> Path:
    """A cached folder with `initrd.img` and `esp.img` (kernel and initramfs already on it)."""
    sources = [cache.SOURCE_ROOT / "guest/init", cache.SOURCE_ROOT / "guest/undercroft.sh", Path(__file__)]
    name = cache.key("boot 1", linux.package, linux.version, MODULES, ESP_MIB, *sources, Path("/bin/busybox"))

    def make(folder: Path) -> None:
        initrd = folder / "initrd.img"
        initrd.write_bytes(initramfs(linux, MODULES))
        image = folder / "esp.img"
        esp.create(image, ESP_MIB)
        esp.put(image, {"EFI/linux/vmlinuz.efi": linux.image, "EFI/linux/initrd.img": initrd})

    return cache.build("boot", name, make)


def run_archive(workload: Path, settings: dict[str, str], extra: dict[str, bytes] | None = None) -> bytes:
    """The per-run archive: the workload script and the variables that it and init read."""
    archive = cpio.Archive()
    lines = "".join(f"export {name}='{_shell_safe(value)}'\n" for name, value in settings.items())
    archive.file("run.d/env", lines.encode())
    prologue = ". /lib/undercroft.sh\n. /run.d/env\n"
    archive.file("run.d/workload", prologue.encode() + workload.read_bytes())
    for other in sorted((cache.SOURCE_ROOT / "workloads").glob("*.sh")):
        archive.file(f"run.d/workloads/{other.name}", other.read_bytes())
    for name, content in (extra or {}).items():
        archive.file(name, content, 0o755)
    return archive.data()


def _shell_safe(value: str) -> str:
    return value.replace("'", "'\\''")


def initramfs(linux: kernel.Kernel, modules: list[str]) -> bytes:
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    if not busybox.is_file():
        raise GuestError("busybox is missing: run tools/setup")
    archive = cpio.Archive()
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    for name in ("proc", "sys", "tmp", "tools", "mnt", "root", "run"):
        archive.folder(name)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            archive.symlink(f"bin/{applet}", "busybox")
    for name in ("lib64", "usr"):
        archive.symlink(name, f"tools/{name}")
    archive.symlink("lib/x86_64-linux-gnu", "/tools/lib/x86_64-linux-gnu")
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")
    archive.file("init", (cache.SOURCE_ROOT / "guest/init").read_bytes(), 0o755)
    archive.file("lib/undercroft.sh", (cache.SOURCE_ROOT / "guest/undercroft.sh").read_bytes())
    order = kernel.module_order(linux.modules, modules)
    for module in order:
        archive.file(f"modules/{module.name}", module.read_bytes())
    archive.file("modules/order", "".join(f"{module.name}\n" for module in order).encode())
    return archive.data()


def tools_disk() -> Path:
    """A cached ext4 image with PROGRAMS and the libraries they need, taken from this host."""
    found = {name: shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise GuestError(f"programs for the guest are missing on this host: {', '.join(missing)}; run tools/setup")
    programs = [Path(path) for path in found.values() if path]
    installed = Path("/var/lib/dpkg/status")
    name = cache.key("tools 1", PROGRAMS, installed, *programs)
    return cache.build("tools", name, lambda folder: _make_tools(folder, programs)) / "tools.img"


def _make_tools(folder: Path, programs: list[Path]) -> None:
    tree = folder / "tree"
    files = set(programs)
    for extra in EXTRA_FOLDERS:
        files.update(path for path in Path(extra).glob("*") if path.is_file() and not path.is_symlink())
    for path in sorted(files):
        files = files | _libraries(path)
    for path in sorted(files):
        # /bin and /lib are links into /usr on Debian 12; the image is made the same way below.
        target = tree / "usr" / str(path).removeprefix("/usr").lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    for link in ("lib", "lib64", "bin", "sbin"):
        (tree / link).symlink_to(f"usr/{link}")
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    image = folder / "tools.img"
    with open(image, "wb") as handle:
        handle.truncate((int(size * 1.15) + (16 << 20)) & ~0xFFFFF)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", "-d", str(tree), str(image)], check=True)
    shutil.rmtree(tree)


def _libraries(program: Path) -> set[Path]:
    output = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return {Path(match) for match in re.findall(r"(/\S+) \(0x", output)}


def prepare() -> tuple[kernel.Kernel, Path, Path, float]:
    """Kernel, boot folder, tools disk, and the seconds it took (near zero when all is cached)."""
    started = time.monotonic()
    linux = kernel.stock()
    return linux, boot_files(linux), tools_disk(), time.monotonic() - started
