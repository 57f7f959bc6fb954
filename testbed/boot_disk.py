# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A disk from which a BIOS boots an uncompressed Linux kernel (guest/boot/disk_linux.S): loader, a table of what belongs
where in memory, and the pieces themselves in one partition without a file system."""

from __future__ import annotations

import struct
from pathlib import Path

from .linux_image import SETUP_HEADER, ImageError, Linux, Segment

SECTOR = 512
TABLE_SECTOR = 8
TABLE_ENTRIES = 31  # the last 16 bytes of the sector hold the kernel's entry
FIRST_SECTOR = 2048
ZERO_PAGE, COMMAND_LINE = 0x20000, 0x21000
INITRD_ALIGN = 0x1000000


def _sectors(data: bytes) -> int:
    return -(-len(data) // SECTOR)


def zero_page(linux: Linux, initrd: int, initrd_bytes: int) -> bytes:
    """The kernel's parameters but for the memory map, which the loader asks the BIOS for."""
    page = bytearray(4096)
    page[SETUP_HEADER:SETUP_HEADER + len(linux.setup_header)] = linux.setup_header
    page[0x210] = 0xFF  # type_of_loader: unknown
    page[0x211] |= 1  # loadflags: LOADED_HIGH
    struct.pack_into("<II", page, 0x218, initrd, initrd_bytes)
    struct.pack_into("<I", page, 0x228, COMMAND_LINE)
    return bytes(page)


def write_system(image: Path, loader: bytes, linux: Linux, size: int) -> None:
    """The part that is the same in every run: loader and kernel. `finish` adds the rest."""
    kernel_end = FIRST_SECTOR + sum(_sectors(segment.data) for segment in linux.segments)
    if len(loader) != TABLE_SECTOR * SECTOR or kernel_end * SECTOR > size:
        raise ImageError(f"the loader has {len(loader)} bytes, the kernel ends at sector {kernel_end}")
    partition = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0xDA, b"\xfe\xff\xff", FIRST_SECTOR, size // SECTOR - FIRST_SECTOR)
    with open(image, "wb") as handle:
        handle.write(loader[:446] + partition + loader[446 + len(partition):])
        for at, segment in _placed(linux.segments, FIRST_SECTOR):
            handle.seek(at * SECTOR)
            handle.write(segment.data)
        handle.truncate(size)


def _placed(segments: list[Segment], first: int) -> list[tuple[int, Segment]]:
    placed = []
    for segment in segments:
        placed.append((first, segment))
        first += _sectors(segment.data)
    return placed


def finish(image: Path, linux: Linux, command_line: str, initrd: bytes) -> None:
    """Adds what a run has of its own. Only the sizes of `linux`'s segments are used."""
    kernel = _placed(linux.segments, FIRST_SECTOR)
    end = max(segment.address + segment.size for segment in linux.segments)
    initrd_at = -(-end // INITRD_ALIGN) * INITRD_ALIGN
    line = command_line.encode("ascii") + b"\0"
    own = [Segment(ZERO_PAGE, zero_page(linux, initrd_at, len(initrd)), 4096), Segment(COMMAND_LINE, line, len(line)),
           Segment(initrd_at, initrd, len(initrd))]
    pieces = kernel + _placed(own, kernel[-1][0] + _sectors(kernel[-1][1].data))
    if len(pieces) > TABLE_ENTRIES or (pieces[-1][0] * SECTOR + len(initrd)) > image.stat().st_size:
        raise ImageError("the boot disk is too small")
    table = b"".join(struct.pack("<4I", at, _sectors(segment.data), segment.address, segment.address + segment.size)
                     for at, segment in pieces)
    with open(image, "r+b") as handle:
        handle.seek(TABLE_SECTOR * SECTOR)
        handle.write(table.ljust(508, b"\0") + struct.pack("<I", linux.entry))
        for at, segment in pieces[len(kernel):]:
            handle.seek(at * SECTOR)
            handle.write(segment.data)
