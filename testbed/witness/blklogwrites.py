# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reader of the log that QEMU's `blklogwrites` driver (and Linux' dm-log-writes) writes.

Layout, all little endian, in units of the log's sector size S:
  sector 0   magic u64 0x6a736677736872, version u64 1, entries u64, S u32
  then entries back to back: one sector with (sector u64, nr_sectors u64, flags u64, data_len u64),
  followed by nr_sectors sectors of data, absent for discards. A mark (dm-log-writes only)
  carries data_len bytes instead.
QEMU appends an entry when the write below it has ended: the order is that of completion. It
brings the count in sector 0 up to date at each flush; QEMU's own flush at exit does it last.
"""
from __future__ import annotations

import enum
import hashlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x6A736677736872
VERSION = 1
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
BLOCK_BYTES = 4096


class Flag(enum.IntFlag):
    FLUSH = 1
    FUA = 2
    DISCARD = 4
    MARK = 8
    METADATA = 16


ALL_FLAGS = int(Flag.FLUSH | Flag.FUA | Flag.DISCARD | Flag.MARK | Flag.METADATA)


class LogError(Exception):
    """The file is not a complete log; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One logged operation. lba is in 512-byte units, whatever the log's sector size."""

    index: int
    lba: int
    bytes: int
    flags: Flag
    data: memoryview

    def block_hashes(self) -> tuple[bytes, ...]:
        """SHA-256 of each 4 KiB block, cut relative to the start of the write."""
        return tuple(hashlib.sha256(self.data[at:at + BLOCK_BYTES]).digest() for at in range(0, self.bytes, BLOCK_BYTES))


class Log:
    """An open log. Entries' data are views into the mapped file: use them before close()."""

    def __init__(self, path: Path) -> None:
        self._path = path
        size = path.stat().st_size
        if size < SUPER.size:
            raise LogError(f"{path}: {size} bytes, too short for a superblock (was the disk ever flushed?)")
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, self.count, self.sector_bytes = SUPER.unpack_from(self._map, 0)
        if magic != MAGIC:
            raise LogError(f"{path}: magic is {magic:#x}, not {MAGIC:#x} (was the disk ever flushed?)")
        if version != VERSION:
            raise LogError(f"{path}: version {version}, only {VERSION} is known")
        if self.sector_bytes < 512 or self.sector_bytes & (self.sector_bytes - 1):
            raise LogError(f"{path}: sector size {self.sector_bytes}")

    def __iter__(self) -> Iterator[Entry]:
        view = memoryview(self._map)
        at = self.sector_bytes
        for index in range(self.count):
            if at + ENTRY.size > len(view):
                raise LogError(f"{self._path}: ends before entry {index} of {self.count}")
            sector, sectors, flags, data_len = ENTRY.unpack_from(view, at)
            if flags & ~ALL_FLAGS:
                raise LogError(f"{self._path}: unknown flags {flags:#x} in entry {index}")
            at += self.sector_bytes
            length = sectors * self.sector_bytes
            carried = data_len if flags & Flag.MARK else 0 if flags & Flag.DISCARD else length
            if at + carried > len(view):
                raise LogError(f"{self._path}: ends inside the data of entry {index} of {self.count}")
            yield Entry(index, sector * self.sector_bytes // 512, length, Flag(flags), view[at:at + carried])
            at += -(-carried // self.sector_bytes) * self.sector_bytes
        self.end = at

    def unflushed_bytes(self) -> int:
        """Bytes after the last counted entry: writes that no flush followed (QEMU was killed).
        Known after the iteration."""
        return max(0, len(self._map) - self.end)


def qemu_drive(image: Path, log: Path, node: str = "witness") -> list[str]:
    """QEMU options that wrap `image` (raw) and log to `log` (made empty here). The block
    node is called `node`. Discards are passed on, flushes are real: with cache=unsafe QEMU
    would log neither flushes nor the entry count."""
    log.write_bytes(b"")
    image_node, log_node = f"{node}-image", f"{node}-log"
    return [
        "-blockdev", f"driver=file,filename={image},node-name={image_node},discard=unmap",
        "-blockdev", f"driver=file,filename={log},node-name={log_node}",
        "-blockdev", f"driver=blklogwrites,file={image_node},log={log_node},log-sector-size=512,node-name={node},discard=unmap",
    ]
