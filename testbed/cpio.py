# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Writes initramfs archives ("newc" cpio), device nodes included, without being root."""

from __future__ import annotations

import stat
from pathlib import Path

ALIGNMENT = 4


class Archive:
    """Collects entries; `data()` is the finished archive. The kernel unpacks several archives laid end to end."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._inode = 0
        self._folders: set[str] = set()

    def folder(self, name: str, mode: int = 0o755) -> None:
        if name in ("", ".") or name in self._folders:
            return
        self.folder(str(Path(name).parent))
        self._folders.add(name)
        self._entry(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self.folder(str(Path(name).parent))
        self._entry(name, stat.S_IFREG | mode, content)

    def symlink(self, name: str, target: str) -> None:
        self.folder(str(Path(name).parent))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int, mode: int = 0o600) -> None:
        self.folder(str(Path(name).parent))
        self._entry(name, stat.S_IFCHR | mode, b"", (major, minor))

    def data(self) -> bytes:
        finished = Archive()
        finished._bytes = bytearray(self._bytes)
        finished._entry("TRAILER!!!", 0, b"")
        while len(finished._bytes) % 512:
            finished._bytes.append(0)
        return bytes(finished._bytes)

    def _entry(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self._bytes += content
        self._pad()

    def _pad(self) -> None:
        self._bytes += bytes(-len(self._bytes) % ALIGNMENT)
