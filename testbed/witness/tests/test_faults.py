# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The fault proxy and the collector killer do what they say, and count it."""
from __future__ import annotations

import socket
import subprocess
import sys
import time
import unittest

from testbed.faults import CollectorKiller, Faults, UdpFaultProxy


def receive_all(sock: socket.socket, quiet_s: float = 0.3) -> list[bytes]:
    sock.settimeout(quiet_s)
    found: list[bytes] = []
    while True:
        try:
            found.append(sock.recv(65535))
        except TimeoutError:
            return found


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


class Proxy(unittest.TestCase):
    def pass_through(self, faults: Faults, count: int, seed: int = 1) -> tuple[list[int], UdpFaultProxy]:
        with udp() as target, udp() as client:
            with UdpFaultProxy(target.getsockname(), faults, seed) as proxy:
                got: list[bytes] = []
                for number in range(count):
                    client.sendto(number.to_bytes(4, "little"), proxy.address)
                    if number % 50 == 49:  # socket buffers hold only a few hundred datagrams
                        got += receive_all(target, 0.004)
                return [int.from_bytes(data, "little") for data in got + receive_all(target)], proxy

    def test_without_faults_all_arrive_in_order(self) -> None:
        got, proxy = self.pass_through(Faults(), 500)
        self.assertEqual(got, list(range(500)))
        self.assertEqual((proxy.to_collector.received, proxy.to_collector.sent, proxy.to_collector.overtaken), (500, 500, 0))

    def test_faults_are_counted_exactly(self) -> None:
        got, proxy = self.pass_through(Faults(drop=0.2, duplicate=0.2, reorder=0.2), 2000)
        counts = proxy.to_collector
        self.assertEqual(counts.received, 2000)
        self.assertEqual(len(got), counts.sent)
        self.assertEqual(counts.sent, 2000 - counts.dropped + counts.duplicated)
        self.assertEqual(2000 - len(set(got)), counts.dropped)
        self.assertNotEqual(got, sorted(got))
        for value in (counts.dropped / 2000, counts.duplicated / 1600, counts.held / 1600):
            self.assertAlmostEqual(value, 0.2, delta=0.05)
        self.assertGreater(counts.overtaken, 100)

    def test_same_seed_same_fate(self) -> None:
        first, _ = self.pass_through(Faults(drop=0.5), 300, seed=7)
        second, _ = self.pass_through(Faults(drop=0.5), 300, seed=7)
        other, _ = self.pass_through(Faults(drop=0.5), 300, seed=8)
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)

    def test_answers_reach_the_client_that_asked(self) -> None:
        with udp() as target, udp() as one, udp() as two:
            with UdpFaultProxy(target.getsockname(), Faults(), back=Faults(duplicate=1.0)) as proxy:
                one.sendto(b"one", proxy.address)
                two.sendto(b"two", proxy.address)
                target.settimeout(2)
                for _ in range(2):
                    data, sender = target.recvfrom(100)
                    target.sendto(b"to " + data, sender)
                self.assertEqual(receive_all(one), [b"to one"] * 2)
                self.assertEqual(receive_all(two), [b"to two"] * 2)
                self.assertEqual(proxy.to_sensor.duplicated, 2)

    def test_a_dead_collector_is_survived(self) -> None:
        target, client = udp(), udp()
        address = target.getsockname()
        target.close()
        with client, UdpFaultProxy(address, Faults()) as proxy:
            for _ in range(20):
                client.sendto(b"x", proxy.address)
                time.sleep(0.002)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.bind(address)
                client.sendto(b"y", proxy.address)
                client.sendto(b"y", proxy.address)  # the first may meet a pending ICMP error
                self.assertIn(b"y", receive_all(again))

    def test_rates_outside_0_to_1_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            Faults(drop=20)


class Killer(unittest.TestCase):
    def test_kills_and_restarts_at_each_threshold(self) -> None:
        started: list[subprocess.Popen[bytes]] = []

        def start() -> subprocess.Popen[bytes]:
            started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
            return started[-1]

        progress = 0
        killer = CollectorKiller(start, lambda: progress, [10, 20], pause_s=0.01).start()
        for progress in (5, 10, 15, 20):
            time.sleep(0.15)
        current = killer.stop()
        try:
            self.assertEqual(len(killer.kills), 2)
            self.assertEqual([process.poll() for process in started], [-9, -9, None])
            self.assertIs(current, started[-1])
        finally:
            current.kill()
            current.wait()

    def test_a_collector_that_ends_by_itself_is_reported(self) -> None:
        killer = CollectorKiller(lambda: subprocess.Popen(["false"]), lambda: 0, [10]).start()
        time.sleep(0.3)
        killer.stop().wait()
        self.assertIn("status 1", killer.error or "")


if __name__ == "__main__":
    unittest.main()
