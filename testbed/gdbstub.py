# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Just enough of GDB's remote protocol to change physical memory of a machine in QEMU."""
from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path


class GdbError(Exception):
    """The stub refused or did not answer."""


ANSWER_PATIENCE_S = 180.0  # QEMU flushes the machine's disks before it says that the machine stands
STOP_PATIENCE_S = 120.0


class Gdb:
    """A connection stops the machine; leaving the context lets it go on."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_PATIENCE_S)
        self._socket.connect(str(path))
        self._buffer = b""

    def __enter__(self) -> Gdb:
        self.ask("?")
        return self

    def __exit__(self, *_: object) -> None:
        self._send("D")
        self._socket.close()

    def write_physical(self, address: int, data: bytes) -> None:
        for command in ("Qqemu.PhyMemMode:1", f"M{address:x},{len(data):x}:{data.hex()}"):
            answer = self.ask(command)
            if answer != "OK":
                raise GdbError(f"{command}: {answer!r}")

    def read_physical(self, address: int, size: int) -> bytes:
        self.ask("Qqemu.PhyMemMode:1")
        return bytes.fromhex(self.ask(f"m{address:x},{size:x}"))

    def run_to(self, address: int, patience_s: float = STOP_PATIENCE_S) -> None:
        """Lets the machine go on until a CPU is about to execute the instruction at this linear address."""
        answer = self.ask(f"Z1,{address:x},1")
        if answer != "OK":
            raise GdbError(f"breakpoint at {address:#x}: {answer!r}")
        self._socket.settimeout(max(patience_s, 1.0))
        try:
            self._send("c")
            self._answer(lambda text: text.startswith("T"))
        except TimeoutError as error:
            raise GdbError(f"nothing came to {address:#x} within {patience_s:g} s") from error
        finally:
            self._socket.settimeout(ANSWER_PATIENCE_S)
        self.ask(f"z1,{address:x},1")

    def ask(self, command: str) -> str:
        self._send(command)
        # That the machine stopped is said unasked, too.
        try:
            return self._answer(lambda text: command == "?" or not text.startswith("T"))
        except TimeoutError as error:
            raise GdbError(f"no answer to {command[:40]!r} within {ANSWER_PATIENCE_S:g} s") from error

    def _answer(self, wanted: Callable[[str], bool]) -> str:
        while True:
            start = self._buffer.find(b"$")
            end = self._buffer.find(b"#", start)
            if start >= 0 and end >= 0 and len(self._buffer) >= end + 3:
                answer = self._buffer[start + 1:end].decode("ascii", "replace")
                self._buffer = self._buffer[end + 3:]
                self._socket.sendall(b"+")
                if wanted(answer):
                    return answer
                continue
            data = self._socket.recv(4096)
            if not data:
                raise GdbError("the connection is gone")
            self._buffer += data

    def _send(self, command: str) -> None:
        text = command.encode("ascii")
        self._socket.sendall(b"$" + text + f"#{sum(text) & 0xFF:02x}".encode("ascii"))
