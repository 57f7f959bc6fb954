# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A small SNTP server (RFC 5905, RFC 4330) on a loopback port whose time is wrong on purpose: the host's plus an offset
that may change while it runs. Who follows it can be told from who reads the host's clock."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, field

PACKET = struct.Struct(">BBbbIIIQQQQ")
UNIX_EPOCH = 2_208_988_800  # seconds from 1900, where NTP counts from
CLIENT, SERVER = 3, 4


def timestamp(utc_s: float) -> int:
    """NTP's 32.32 bits."""
    seconds = int(utc_s // 1)
    return ((seconds + UNIX_EPOCH) % (1 << 32)) << 32 | int((utc_s - seconds) * (1 << 32))


def answer(request: bytes, received_s: float, transmitted_s: float) -> bytes | None:
    """What a stratum 1 server says; None: this is no question."""
    if len(request) < PACKET.size:
        return None
    first, *_, transmit = PACKET.unpack_from(request)
    version, mode = first >> 3 & 7, first & 7
    if mode != CLIENT or not 1 <= version <= 4:
        return None
    root_dispersion = 1 << 6  # 1 ms in 16.16 seconds
    return PACKET.pack(version << 3 | SERVER, 1, 6, -20, 0, root_dispersion, int.from_bytes(b"TEST", "big"),
                       timestamp(received_s), transmit, timestamp(received_s), timestamp(transmitted_s))


@dataclass
class SntpServer:
    """Use as a context manager. `offset_s` may be set at any time; each change is kept with the host's time of it."""

    start_offset_s: float
    answers: int = 0
    changes: list[tuple[float, float]] = field(default_factory=list)  # host's UTC, offset from then on

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.set_offset(self.start_offset_s)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def set_offset(self, offset_s: float) -> None:
        self.changes.append((time.time(), offset_s))

    def __enter__(self) -> SntpServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                request, sender = self._socket.recvfrom(1024)
            except TimeoutError:
                continue
            offset = self.changes[-1][1]
            reply = answer(request, time.time() + offset, time.time() + offset)
            if reply:
                self._socket.sendto(reply, sender)
                self.answers += 1
