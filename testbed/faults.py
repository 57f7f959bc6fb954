#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Faults on the way from the sensor to the collector.

UdpFaultProxy listens on loopback and forwards datagrams to the collector and its answers
back, dropping, duplicating, reordering and delaying them in both directions by a seeded
random generator. Everything it does is counted, so that a test can assert that the
faults really happened. CollectorKiller ends the collector with SIGKILL and starts it
again while a run is going on.

As a program: faults.py --listen 127.0.0.1:9100 --target 127.0.0.1:9101 --drop 0.2 ...
prints its counters as JSON when it gets SIGTERM or SIGINT.
"""
from __future__ import annotations

import argparse
import heapq
import json
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

Address = tuple[str, int]
MAX_DATAGRAM = 65535
ARRIVAL_BYTES = 72  # kept of each datagram: its header
RECEIVE_BUFFER_BYTES = 8 << 20
SO_RCVBUFFORCE = 33  # Linux; the socket module has no name for it


@dataclass(frozen=True)
class Faults:
    """Probabilities in 0..1, applied to each datagram independently; times in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # held back by hold_s, so that later datagrams overtake it
    delay_s: float = 0.0  # applied to every datagram, order kept
    hold_s: tuple[float, float] = (0.005, 0.050)

    def __post_init__(self) -> None:
        for name in ("drop", "duplicate", "reorder"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is {value}, allowed is 0 ... 1")


@dataclass
class Counts:
    """What happened in one direction. received = dropped + (sent - duplicated) + unsent."""

    received: int = 0
    received_bytes: int = 0
    dropped: int = 0
    duplicated: int = 0
    held: int = 0
    sent: int = 0
    overtaken: int = 0  # sent after a datagram that had arrived later
    unsent: int = 0  # refused by the socket, or still queued at the end


@dataclass(order=True)
class _Queued:
    due: float
    arrival: int
    copy: int
    data: bytes = field(compare=False)
    out: socket.socket = field(compare=False)
    to: Address | None = field(compare=False)


class _Direction:
    def __init__(self, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self.counts = Counts()
        self._rng = rng
        self._queue: list[_Queued] = []
        self._arrivals = 0
        self._newest_sent = -1

    def accept(self, data: bytes, out: socket.socket, to: Address | None, now: float) -> None:
        faults, counts = self.faults, self.counts
        counts.received += 1
        counts.received_bytes += len(data)
        arrival = self._arrivals
        self._arrivals += 1
        # All draws are made for every datagram: the n-th datagram meets the same fate in every run.
        drop, duplicate, reorder, wait_a, wait_b = (self._rng.random() for _ in range(5))
        if drop < faults.drop:
            counts.dropped += 1
            return
        low, high = faults.hold_s
        due = now + faults.delay_s
        if reorder < faults.reorder:
            counts.held += 1
            due += low + (high - low) * wait_a
        heapq.heappush(self._queue, _Queued(due, arrival, 0, data, out, to))
        if duplicate < faults.duplicate:
            counts.duplicated += 1
            heapq.heappush(self._queue, _Queued(due + high * wait_b, arrival, 1, data, out, to))

    def release(self, now: float) -> None:
        while self._queue and self._queue[0].due <= now:
            self._send(heapq.heappop(self._queue))

    def close(self) -> None:
        self.counts.unsent += len(self._queue)
        self._queue.clear()

    def next_due(self) -> float | None:
        return self._queue[0].due if self._queue else None

    def _send(self, item: _Queued) -> None:
        try:
            if item.to is None:
                item.out.send(item.data)
            else:
                item.out.sendto(item.data, item.to)
        except OSError:  # nobody listens just now (collector killed), or the buffer is full
            self.counts.unsent += 1
            return
        self.counts.sent += 1
        if item.arrival < self._newest_sent and item.copy == 0:
            self.counts.overtaken += 1
        self._newest_sent = max(self._newest_sent, item.arrival)


class UdpFaultProxy:
    """Forwards UDP between clients (sensors) and one target (the collector) on loopback."""

    def __init__(self, target: Address, faults: Faults, seed: int = 1, listen: Address = ("127.0.0.1", 0),
                 back: Faults | None = None, keep_arrivals: bool = False, keep_datagrams: bool = False) -> None:
        self.arrivals: list[tuple[float, str]] = []  # if kept, of each datagram from a sensor: UTC, and its first bytes in hex
        self._keep_arrivals = keep_arrivals
        self.datagrams: list[bytes] = []  # if kept, each datagram from a sensor
        self._keep_datagrams = keep_datagrams
        self._target = target
        self._socket = _udp_socket()
        self._socket.bind(listen)
        self.address: Address = self._socket.getsockname()
        self._to_collector = _Direction(faults, random.Random(f"{seed} to collector"))
        self._to_sensor = _Direction(faults if back is None else back, random.Random(f"{seed} to sensor"))
        self._upstreams: dict[Address, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="udp-fault-proxy", daemon=True)

    @property
    def port(self) -> int:
        return self.address[1]

    @property
    def to_collector(self) -> Counts:
        return self._to_collector.counts

    @property
    def to_sensor(self) -> Counts:
        return self._to_sensor.counts

    def counts(self) -> dict[str, dict[str, int]]:
        return {"to_collector": asdict(self.to_collector), "to_sensor": asdict(self.to_sensor)}

    def start(self) -> UdpFaultProxy:
        self._selector.register(self._socket, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def stop(self) -> dict[str, dict[str, int]]:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for direction in (self._to_collector, self._to_sensor):
            direction.close()
        for upstream in self._upstreams.values():
            upstream.close()
        self._selector.close()
        self._socket.close()
        return self.counts()

    def __enter__(self) -> UdpFaultProxy:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(self._wait()):
                self._drain(key.fileobj, key.data)  # type: ignore[arg-type]
            now = time.monotonic()
            self._to_collector.release(now)
            self._to_sensor.release(now)

    def _wait(self) -> float:
        dues = [due for due in (self._to_collector.next_due(), self._to_sensor.next_due()) if due is not None]
        return min(0.1, max(0.0, min(dues) - time.monotonic())) if dues else 0.1

    def _drain(self, source: socket.socket, client: Address | None) -> None:
        for _ in range(256):  # bounded, so that queued datagrams leave on time under load
            try:
                data, sender = source.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except ConnectionRefusedError:  # an ICMP answer to something sent earlier
                continue
            now = time.monotonic()
            if client is None:
                if self._keep_arrivals:
                    self.arrivals.append((time.time(), data[:ARRIVAL_BYTES].hex()))
                if self._keep_datagrams:
                    self.datagrams.append(data)
                self._to_collector.accept(data, self._upstream(sender), None, now)
            else:
                self._to_sensor.accept(data, self._socket, client, now)

    def _upstream(self, client: Address) -> socket.socket:
        if client not in self._upstreams:
            upstream = _udp_socket()
            upstream.connect(self._target)
            self._upstreams[client] = upstream
            self._selector.register(upstream, selectors.EVENT_READ, client)
        return self._upstreams[client]


def _udp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    try:  # past net.core.rmem_max where that is allowed
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return made


class CollectorKiller:
    """Kills the collector (SIGKILL) each time `progress()` passes the next threshold and
    starts it again after `pause_s`. `current` is always the process to talk to or to end;
    `kills` says how often it struck (a test asserts that it did)."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], progress: Callable[[], int],
                 thresholds: Sequence[int], pause_s: float = 0.5) -> None:
        self._start = start
        self._progress = progress
        self._thresholds = list(thresholds)
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector-killer", daemon=True)
        self.kills: list[dict[str, float]] = []
        self.error: str | None = None
        self.current = start()

    def start(self) -> CollectorKiller:
        self._thread.start()
        return self

    def stop(self) -> subprocess.Popen[bytes]:
        """No more kills; returns the running collector, which the caller ends."""
        self._stop.set()
        self._thread.join()
        return self.current

    def _run(self) -> None:
        for threshold in self._thresholds:
            while self._progress() < threshold:
                if self.current.poll() is not None:
                    self.error = f"the collector ended by itself with status {self.current.returncode}"
                    return
                if self._stop.wait(0.02):
                    return
            self.current.send_signal(signal.SIGKILL)
            self.current.wait()
            self.kills.append({"progress": self._progress(), "time": time.time()})
            stopped = self._stop.wait(self._pause_s)
            self.current = self._start()
            if stopped:
                return


def parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def main() -> int:
    parser = argparse.ArgumentParser(description="UDP proxy with faults, for tests on loopback")
    parser.add_argument("--listen", type=parse_address, default=("127.0.0.1", 0))
    parser.add_argument("--target", type=parse_address, required=True)
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--duplicate", type=float, default=0.0)
    parser.add_argument("--reorder", type=float, default=0.0)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    faults = Faults(options.drop, options.duplicate, options.reorder, options.delay_ms / 1000)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    proxy = UdpFaultProxy(options.target, faults, options.seed, options.listen).start()
    print(f"listening on {proxy.address[0]}:{proxy.port}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    print(json.dumps(proxy.stop(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
