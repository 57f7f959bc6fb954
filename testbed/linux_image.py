# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Debian's kernel without its compression: Bochs would spend minutes in the decompressor.

The bytes that run are those that the decompressor would leave in memory; a small loader per firmware (guest/boot)
does the rest of its work.
"""

from __future__ import annotations

import lzma
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import cache

SETUP_HEADER = 0x1F1
PAGE = 4096
LOAD = 1
SOURCES = cache.SOURCE_ROOT / "guest/boot"
CLANG, LLD, LLD_LINK = "clang-19", "ld.lld-19", "lld-link-19"


class ImageError(Exception):
    """The kernel is not built as expected, or a loader could not be made."""


@dataclass(frozen=True)
class Segment:
    """Bytes for one physical address; `size` counts the zeros behind them too."""

    address: int
    data: bytes
    size: int


@dataclass(frozen=True)
class Linux:
    """An unpacked kernel: its segments, and the setup header of the bzImage it was in."""

    segments: list[Segment]
    setup_header: bytes
    entry: int


def unpack(bzimage: Path) -> Linux:
    data, elf = _payload(bzimage)
    return Linux(_segments(elf), data[SETUP_HEADER:0x202 + data[0x201]], struct.unpack_from("<Q", elf, 24)[0])


def btf_of(bzimage: Path) -> bytes:
    """The kernel's section .BTF, which a running one shows as /sys/kernel/btf/vmlinux."""
    _, elf = _payload(bzimage)
    table, entry_size, count, names = (*struct.unpack_from("<Q", elf, 40), *struct.unpack_from("<3H", elf, 58))
    sections = [struct.unpack_from("<2I4Q", elf, table + number * entry_size) for number in range(count)]
    for name, _, _, _, offset, size in sections:
        at = sections[names][4] + name
        if elf[at:elf.index(0, at)] == b".BTF":
            return elf[offset:offset + size]
    raise ImageError(f"{bzimage} has no BTF")


def _payload(bzimage: Path) -> tuple[bytes, bytes]:
    """The image and the ELF file in it. Linux, Documentation/x86/boot.rst: payload_offset counts from the protected-mode code."""
    data = bzimage.read_bytes()
    if data[0x202:0x206] != b"HdrS" or struct.unpack_from("<H", data, 0x206)[0] < 0x20C:
        raise ImageError(f"{bzimage} is not a bzImage with 64-bit boot protocol")
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = ((data[SETUP_HEADER] or 4) + 1) * 512 + offset
    payload = data[start:start + length]
    if payload[:6] != b"\xfd7zXZ\0":
        raise ImageError(f"{bzimage} is not compressed with xz")
    return data, lzma.LZMADecompressor().decompress(payload[:-4])


def _segments(elf: bytes) -> list[Segment]:
    """PT_LOAD segments of an ELF64 file, without trailing zeros."""
    if elf[:5] != b"\x7fELF\x02":
        raise ImageError("the kernel's payload is not an ELF64 file")
    table, entry_size, count = (*struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54))
    found = []
    for number in range(count):
        kind, _, offset, _, address, file_size, size, _ = struct.unpack_from("<IIQQQQQQ", elf, table + number * entry_size)
        if kind == LOAD:
            found.append(Segment(address, elf[offset:offset + file_size].rstrip(b"\0"), size))
    return found


def elf_file(segments: list[Segment], entry: int) -> bytes:
    """An executable ELF64 file with these segments at their physical addresses."""
    table, body = b"", b""
    for segment in segments:
        body += bytes(-len(body) % PAGE)
        at = PAGE + len(body)
        table += struct.pack("<2I6Q", LOAD, 7, at, segment.address, segment.address, len(segment.data), segment.size, PAGE)
        body += segment.data
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return (header + table).ljust(PAGE, b"\0") + body


def disk_loader(work: Path) -> bytes:
    """The program for the first sectors of a BIOS disk. `work` takes intermediate files."""
    source, program, image = SOURCES / "disk_linux.S", work / "disk_linux.o", work / "disk_linux.bin"
    _run([CLANG, "--target=i386-unknown-none-elf", "-c", str(source), "-o", str(program)])
    _run([LLD, "-m", "elf_i386", "-Ttext=0x7c00", "-e", "start", "--oformat=binary", str(program), "-o", str(image)])
    return image.read_bytes()


def efi_loader(work: Path) -> Path:
    """The program for \\EFI\\BOOT: starts the sensor, if there is one, then the kernel."""
    source, program, image = SOURCES / "uefi_linux.cpp", work / "uefi_linux.o", work / "bootx64.efi"
    # The target has no headers of its own; those that are used need no library, so the host's will do.
    verbose = subprocess.run([CLANG, "-x", "c++", "-E", "-v", "/dev/null"], capture_output=True, text=True, check=True).stderr
    folders = verbose.partition("#include <...> search starts here:")[2].partition("End of search list")[0].split()
    _run([CLANG, "--target=x86_64-unknown-windows", "-std=c++23", "-ffreestanding", "-fshort-wchar", "-mno-red-zone", "-mno-mmx",
          "-mno-sse", "-mno-avx", "-fno-exceptions", "-fno-rtti", "-fno-stack-protector", "-mno-stack-arg-probe", "-O2", "-Wall",
          "-Wextra", "-Werror", "-nostdlibinc", "-D__STRICT_ANSI__", f"-I{cache.SOURCE_ROOT.parent}",
          *(option for folder in folders for option in ("-idirafter", folder)), "-c", str(source), "-o", str(program)])
    _run([LLD_LINK, "/subsystem:efi_application", "/entry:efi_main", "/nodefaultlib", f"/out:{image}", str(program)])
    return image


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-800:]}")
