# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The test disk in the guest: one partition with a file system, and sectors behind it for marks."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import time
from pathlib import Path

SECTOR = 512
PARTITION_START = 2048
TAIL_SECTORS = 2048  # behind the partition, in no file system: a write there is a mark in time
MOUNT = Path("/mnt")
LUKS_KEY = Path("/tmp/volume.key")
MAPPED = Path("/dev/mapper/volume")


def call(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)


def sectors_of(device: Path) -> int:
    return int((Path("/sys/block") / device.name / "size").read_text(encoding="ascii"))


def load_modules() -> None:
    for module in Path("/tools/modules/order").read_text(encoding="ascii").split():
        if not (Path("/sys/module") / module.removesuffix(".ko").replace("-", "_")).exists():
            subprocess.run(["/bin/insmod", f"/tools/modules/{module}"], check=False, stderr=subprocess.DEVNULL)


def write_partition_table(device: Path) -> None:
    """An MBR with one partition, as `sectors_of` allows."""
    count = sectors_of(device) - PARTITION_START - TAIL_SECTORS
    entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", PARTITION_START, count)
    table = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    with open(device, "r+b") as disk:
        disk.write(table)
        os.fsync(disk.fileno())
    call("/bin/blockdev", "--rereadpt", device)


def partition(device: Path) -> Path:
    path = Path(f"{device}1")
    for _ in range(100):
        if path.exists():
            return path
        time.sleep(0.05)
    raise FileNotFoundError(f"{path} did not appear")


def make(device: Path, kind: str) -> None:
    """Partition, encryption if wished, file system. Nothing is mounted after it."""
    write_partition_table(device)
    where = partition(device)
    if kind == "ntfs":
        call("mkntfs", "-Q", "-F", "-q", "-L", "documents", where)
        return
    if kind == "luks":
        _write_key()
        call("cryptsetup", "luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file",
             LUKS_KEY, where)
        _open_luks(where)
        where = MAPPED
    call("mkfs.ext4", "-q", "-F", where)
    if kind == "luks":
        call("cryptsetup", "close", MAPPED.name)


def mount(device: Path, kind: str) -> None:
    where = partition(device)
    if kind == "ntfs":
        call("ntfs-3g", "-o", "big_writes,noatime", where, MOUNT)
        return
    if kind == "luks":
        _write_key()
        _open_luks(where)
        where = MAPPED
    call("/bin/mount", "-t", "ext4", where, MOUNT)


def unmount(kind: str) -> None:
    call("/bin/umount", MOUNT)
    if kind == "ntfs":
        _wait_for_end("ntfs-3g")
    if kind == "luks":
        call("cryptsetup", "close", MAPPED.name)


def mark(device: Path, number: int) -> list[int]:
    """Writes one sector behind the partition, past every cache. Its time by the guest's clock: [before, after], ns."""
    buffer = mmap.mmap(-1, 4096)
    buffer[:16] = struct.pack("<8sQ", b"UCMARK\0\0", number)
    descriptor = os.open(device, os.O_WRONLY | os.O_DIRECT)
    try:
        place = (sectors_of(device) - TAIL_SECTORS + 8 * number) * SECTOR
        before = time.time_ns()
        os.pwrite(descriptor, memoryview(buffer)[:SECTOR], place)
        return [before, time.time_ns()]
    finally:
        os.close(descriptor)


def _write_key() -> None:
    LUKS_KEY.write_text("test bed", encoding="ascii")


def _open_luks(where: Path) -> None:
    Path("/run/cryptsetup").mkdir(parents=True, exist_ok=True)
    call("cryptsetup", "open", "--allow-discards", "--key-file", LUKS_KEY, where, MAPPED.name)
    for _ in range(100):
        if MAPPED.exists():
            return
        time.sleep(0.05)
    raise FileNotFoundError(f"{MAPPED} did not appear")


def _wait_for_end(program: str) -> None:
    """A FUSE file system's process writes on for a moment after umount has returned."""
    for _ in range(200):
        names = [entry / "comm" for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        if not any(_comm(path) == program for path in names):
            return
        time.sleep(0.05)


def _comm(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
