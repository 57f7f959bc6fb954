# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol (QMP) over a UNIX socket; the human monitor's commands go through it as well."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

EFER_SVME = 1 << 12
# QEMU's main loop stands still while it flushes disks, which on a busy host takes what it takes.
PATIENCE_S = 180.0
SAVE_PATIENCE_S = 600.0


class MonitorError(Exception):
    """QEMU refused a command, or the connection is gone."""


class Monitor:
    """One QMP connection. Events are kept in `events` in order of arrival."""

    def __init__(self, path: Path, patience: float = 60.0) -> None:
        self.events: list[dict[str, Any]] = []
        self._buffer = b""
        self._ended = False
        self._socket = self._connect(path, patience)
        self._receive(patience, lambda message: "QMP" in message, "greeting")
        self.command("qmp_capabilities")

    @staticmethod
    def _connect(path: Path, patience: float) -> socket.socket:
        end = time.monotonic() + patience
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(path))
                return connection
            except OSError as error:
                connection.close()
                if time.monotonic() > end:
                    raise MonitorError(f"cannot connect to {path}: {error}") from error
                time.sleep(0.02)

    def command(self, name: str, patience: float = PATIENCE_S, **arguments: Any) -> Any:
        """Runs a QMP command and returns its result."""
        request = {"execute": name, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode())
        except OSError as error:
            raise MonitorError(f"{name}: {error}") from error
        reply = self._receive(patience, lambda message: "return" in message or "error" in message, name)
        if "error" in reply:
            raise MonitorError(f"{name}: {reply['error'].get('desc')}")
        return reply["return"]

    def human(self, line: str, patience: float = PATIENCE_S) -> str:
        """Runs a command of the human monitor, such as `info registers -a`, and returns its text."""
        return str(self.command("human-monitor-command", patience, **{"command-line": line}))

    def poll(self) -> list[dict[str, Any]]:
        """Takes in events that have arrived; never waits. Returns all events so far."""
        while self._take(0.0):
            message = self._next_message()
            if message is not None and "event" in message:
                self.events.append(message)
        return self.events

    def save_memory(self, path: Path, address: int, size: int) -> None:
        """Writes guest-physical memory to a file."""
        self.command("pmemsave", SAVE_PATIENCE_S, val=address, size=size, filename=str(path))

    def efer(self) -> list[int]:
        """EFER of each CPU in its present context; bit 12 (SVME) stays set while a CPU runs beneath the sensor."""
        return [int(match, 16) for match in re.findall(r"\bEFER=([0-9a-f]+)", self.human("info registers -a"))]

    def close(self) -> None:
        self._socket.close()

    def _receive(self, patience: float, wanted: Any, what: str) -> dict[str, Any]:
        end = time.monotonic() + patience
        while True:
            message = self._next_message()
            if message is not None:
                if "event" in message:
                    self.events.append(message)
                elif wanted(message):
                    return message
                continue
            remaining = end - time.monotonic()
            if remaining <= 0 or not self._take(remaining):
                how = "QEMU ended" if self._ended else f"QEMU did not answer within {patience:g} s"
                raise MonitorError(f"{what}: {how}")

    def _next_message(self) -> dict[str, Any] | None:
        line, separator, rest = self._buffer.partition(b"\n")
        if not separator:
            return None
        self._buffer = rest
        message: dict[str, Any] = json.loads(line)
        return message

    def _take(self, patience: float) -> bool:
        """Reads what is there, waiting up to `patience`; False if nothing came. A full line may be waiting already."""
        if b"\n" in self._buffer:
            return True
        self._socket.settimeout(max(patience, 0.000001))
        try:
            data = self._socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError:
            self._ended = True
            return False
        self._ended = not data
        self._buffer += data
        return bool(data)
