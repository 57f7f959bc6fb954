# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A UDP path that drops, duplicates and reorders datagrams in both directions."""
import heapq
import random
import selectors
import socket
import threading
import time


class LossyProxy(threading.Thread):
    """Forwards between whoever sends to `port` and 127.0.0.1:`target`; each fault hits `rate` of the datagrams."""

    def __init__(self, target: int, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._rate = rate
        self._random = random.Random(seed)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._back.bind(("127.0.0.1", 0))
        self._target = ("127.0.0.1", target)
        self._client: tuple[str, int] | None = None
        self._waiting: list[tuple[float, int, socket.socket, bytes]] = []
        self._number = 0
        self._ended = threading.Event()
        self.port: int = self._front.getsockname()[1]
        self.counts = {"forwarded": 0, "dropped": 0, "duplicated": 0, "reordered": 0}

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        selector = selectors.DefaultSelector()
        for side in (self._front, self._back):
            side.setblocking(False)
            selector.register(side, selectors.EVENT_READ)
        while not self._ended.is_set():
            for key, _ in selector.select(0.002):
                self._read(key.fileobj)
            self._send_due()

    def _read(self, side: socket.socket) -> None:
        for _ in range(200):
            try:
                datagram, sender = side.recvfrom(65536)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if side is self._front:
                self._client = sender
            self._judge(self._back if side is self._front else self._front, datagram)

    def _judge(self, out: socket.socket, datagram: bytes) -> None:
        if self._random.random() < self._rate:
            self.counts["dropped"] += 1
            return
        copies = 1
        if self._random.random() < self._rate:
            self.counts["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            delay = 0.0
            if self._random.random() < self._rate:
                self.counts["reordered"] += 1
                delay = self._random.uniform(0.001, 0.04)
            self._number += 1
            heapq.heappush(self._waiting, (time.monotonic() + delay, self._number, out, datagram))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, out, datagram = heapq.heappop(self._waiting)
            to = self._target if out is self._back else self._client
            if to is None:
                continue
            try:
                out.sendto(datagram, to)
                self.counts["forwarded"] += 1
            except OSError:
                self.counts["dropped"] += 1
