# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A disk from which a BIOS boots an uncompressed Linux kernel (guest/boot/disk_linux.S): loader, a table of what belongs
where in memory, and the pieces themselves in one partition without a file system."""

from __future__ import annotations

import struct
from pathlib import Path

from .linux_image import SETUP_HEADER, ImageError, Linux, Segment

SECTOR = 512
TABLE_SECTOR = 8
ENTRY = struct.Struct("<4I")  # first sector, sectors, address, end: zeros up to there
TABLE_ENTRIES = 31  # the last 16 bytes of the sector hold the kernel's entry
FIRST_SECTOR = 2048
ZERO_PAGE, COMMAND_LINE = 0x20000, 0x21000
RAMDISK, COMMAND_LINE_POINTER = 0x218, 0x228  # in the zero page
INITRD_ALIGN = 0x1000000


def zero_page(linux: Linux) -> bytes:
    """The kernel's parameters but for the initial RAM disk, and the memory map that the loader asks the BIOS for."""
    page = bytearray(4096)
    page[SETUP_HEADER:SETUP_HEADER + len(linux.setup_header)] = linux.setup_header
    page[0x210] = 0xFF  # type_of_loader: unknown
    page[0x211] |= 1  # loadflags: LOADED_HIGH
    struct.pack_into("<I", page, COMMAND_LINE_POINTER, COMMAND_LINE)
    return bytes(page)


def write_system(image: Path, loader: bytes, linux: Linux, size: int) -> None:
    """The part that is the same in every run: loader, kernel, zero page. `finish` adds the rest."""
    if len(loader) != TABLE_SECTOR * SECTOR:
        raise ImageError(f"the loader has {len(loader)} bytes")
    partition = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0xDA, b"\xfe\xff\xff", FIRST_SECTOR, size // SECTOR - FIRST_SECTOR)
    with open(image, "wb") as handle:
        handle.write(loader[:446] + partition + loader[446 + len(partition):])
        handle.write(bytes(SECTOR - 4) + struct.pack("<I", linux.entry))
        handle.truncate(size)
    _add(image, [*linux.segments, Segment(ZERO_PAGE, zero_page(linux), 4096)])


def finish(image: Path, command_line: str, initrd: bytes) -> None:
    """Adds what a run has of its own to a disk made by `write_system`."""
    entries = _entries(image)
    above = max(end for _, _, _, end in entries)
    initrd_at = -(-above // INITRD_ALIGN) * INITRD_ALIGN
    (page,) = (first for first, _, address, _ in entries if address == ZERO_PAGE)
    with open(image, "r+b") as handle:
        handle.seek(page * SECTOR + RAMDISK)
        handle.write(struct.pack("<II", initrd_at, len(initrd)))
    line = command_line.encode("ascii") + b"\0"
    _add(image, [Segment(COMMAND_LINE, line, len(line)), Segment(initrd_at, initrd, len(initrd))])


def _entries(image: Path) -> list[tuple[int, int, int, int]]:
    with open(image, "rb") as handle:
        handle.seek(TABLE_SECTOR * SECTOR)
        table = handle.read(TABLE_ENTRIES * ENTRY.size)
    return [entry for entry in ENTRY.iter_unpack(table) if entry[2] != 0]


def _add(image: Path, segments: list[Segment]) -> None:
    """Puts segments behind those that are there, on the disk and in the table."""
    entries = _entries(image)
    number, at = len(entries), max((first + count for first, count, _, _ in entries), default=FIRST_SECTOR)
    size = image.stat().st_size
    with open(image, "r+b") as handle:
        for segment in segments:
            count = -(-len(segment.data) // SECTOR)
            if number >= TABLE_ENTRIES or (at + count) * SECTOR > size:
                raise ImageError("the boot disk is too small")
            handle.seek(TABLE_SECTOR * SECTOR + number * ENTRY.size)
            handle.write(ENTRY.pack(at, count, segment.address, segment.address + segment.size))
            handle.seek(at * SECTOR)
            handle.write(segment.data)
            number, at = number + 1, at + count
