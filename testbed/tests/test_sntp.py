# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The SNTP server, asked with packets made by hand."""

from __future__ import annotations

import socket
import struct
import time
import unittest

from testbed import sntp


def ask(port: int, request: bytes, patience: float = 2.0) -> bytes | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(patience)
        client.sendto(request, ("127.0.0.1", port))
        try:
            return client.recv(1024)
        except TimeoutError:
            return None


def utc_of(field: bytes) -> float:
    seconds, fraction = struct.unpack(">II", field)
    return seconds - 2208988800 + fraction / 2**32


class SntpTest(unittest.TestCase):
    def test_timestamps(self) -> None:
        self.assertEqual(sntp.timestamp(0.0), 2208988800 << 32)
        self.assertEqual(sntp.timestamp(1.5), 2208988801 << 32 | 1 << 31)
        self.assertEqual(sntp.timestamp(4294967296.0 - 2208988800), 0, "the era ends in 2036")

    def test_answers_carry_origin_and_offset(self) -> None:
        cookie = bytes(range(1, 9))
        with sntp.SntpServer(100.0) as server:
            for offset in (100.0, -5.0):
                server.set_offset(offset)
                before = time.time()
                reply = ask(server.port, bytes([0x23]) + bytes(39) + cookie)
                assert reply
                self.assertEqual((len(reply), reply[0], reply[1]), (48, 0x24, 1))
                self.assertEqual(reply[24:32], cookie)
                for field in (reply[32:40], reply[40:48]):
                    self.assertAlmostEqual(utc_of(field), before + offset, delta=1.0)
        self.assertEqual(server.answers, 2)  # counted behind the sending: the server has ended by now
        self.assertEqual([offset for _, offset in server.changes], [100.0, 100.0, -5.0])

    def test_other_packets_get_no_answer(self) -> None:
        self.assertIsNone(sntp.answer(bytes(47), 0, 0))
        self.assertIsNone(sntp.answer(bytes([0x24]) + bytes(47), 0, 0), "a server's packet")
        self.assertIsNone(sntp.answer(bytes([0x3B]) + bytes(47), 0, 0), "version 7")


if __name__ == "__main__":
    unittest.main()
