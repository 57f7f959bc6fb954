# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft hdfs push against servers that lie, stall and flood: an error in bounded time, never a crash, a leak of
data to elsewhere or a file that counts as uploaded.

usage: hdfs_hostile_test.py PROGRAM
"""
from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Callable
from pathlib import Path

PROGRAM = ""
Answer = Callable[[socket.socket, bytes], None]


def http(status: str, body: bytes = b"", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class Server:
    """Answers every request by `answer`; keeps the request lines."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[str] = []
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    head += piece
                self.requests.append(head.split(b"\r\n")[0].decode())
                self._answer(connection, head)
            except OSError:
                pass

    def close(self) -> None:
        self._socket.close()


class Hostile(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = Path(self.folder.name) / "store"
        self.store.mkdir()
        (self.store / "undercroft-store.json").write_text(json.dumps({"format": 1}))

    def tearDown(self) -> None:
        self.folder.cleanup()

    def push(self, answer: Answer, *options: str) -> tuple[str, list[str]]:
        """The message of a push that must fail, and what was asked."""
        server = Server(answer)
        try:
            done = subprocess.run([PROGRAM, "hdfs", "push", self.store, f"webhdfs://127.0.0.1:{server.port}/x", "--give-up", "1.5", *options],
                                  capture_output=True, text=True, timeout=60)
        finally:
            server.close()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 files are not uploaded", done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertTrue(all(" have " not in log.read_text() for log in (self.store / "hdfs").glob("*.log")))
        return done.stderr, server.requests

    def test_nobody_there(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        done = subprocess.run([PROGRAM, "hdfs", "push", self.store, f"webhdfs://127.0.0.1:{port}/x", "--give-up", "1"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("connect", done.stderr)

    def test_not_webhdfs(self) -> None:
        for reply in (http("200 OK", b"<html>"), http("200 OK", b'{"boolean":false}'), http("200 OK", b"[" * 60000), http("302 Found"),
                      http("500 No", b'{"RemoteException":{"exception":7}}'), b"\x00\xff" * 100 + b"\r\n\r\n", b""):
            message, _ = self.push(lambda connection, _, reply=reply: connection.sendall(reply))
            self.assertIn("MKDIRS", message)

    def test_messages_are_cleaned(self) -> None:
        body = json.dumps({"RemoteException": {"exception": "AccessControlException", "message": "\x1b[2J" + "x" * 10000 + "\nsecond"}})
        message, _ = self.push(lambda connection, _: connection.sendall(http("403 No", body.encode())))
        self.assertIn("AccessControlException", message)
        self.assertNotIn("\x1b[2J", message)
        self.assertLess(len(message), 3000)

    def test_floods(self) -> None:
        def body(connection: socket.socket, _: bytes) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)

        def headers(connection: socket.socket, _: bytes) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"X-Y: " + b"x" * 8000 + b"\r\n")

        self.assertIn("longer than any", self.push(body)[0])
        self.push(headers)

    def test_stalls(self) -> None:
        event = threading.Event()
        self.push(lambda connection, _: event.wait(20) and None)
        event.set()

    def test_redirects_elsewhere(self) -> None:
        thief = Server(lambda connection, _: connection.sendall(http("201 Created")))
        try:
            for location in (f"http://127.0.0.1:{thief.port}/collect", f"ftp://127.0.0.1:{thief.port}/webhdfs/v1/x",
                             f"http://u@127.0.0.1:{thief.port}/webhdfs/v1/x", "file:///etc/passwd"):
                def answer(connection: socket.socket, head: bytes, location: str = location) -> None:
                    made = http("200 OK", b'{"boolean":true}')
                    connection.sendall(made if b"op=MKDIRS" in head else http("307 T", headers=f"Location: {location}\r\n"))
                message, _ = self.push(answer)
                self.assertIn("redirects to something", message)
            self.assertEqual(thief.requests, [])
        finally:
            thief.close()

    def test_a_data_node_that_only_says_yes(self) -> None:
        """201 for data that was not kept: the NameNode's length decides."""
        keeper = Server(lambda connection, _: connection.sendall(http("201 Created", headers="Connection: close\r\n")))

        def answer(connection: socket.socket, head: bytes) -> None:
            status = b'{"FileStatus":{"type":"FILE","length":3,"blockSize":1024}}'
            if b"op=MKDIRS" in head:
                connection.sendall(http("200 OK", b'{"boolean":true}', "Connection: close\r\n"))
            elif b"op=GETFILESTATUS" in head:
                connection.sendall(http("200 OK", status, "Connection: close\r\n"))
            else:
                location = f"http://127.0.0.1:{keeper.port}/webhdfs/v1/x?op=CREATE"
                connection.sendall(http("307 T", headers=f"Connection: close\r\nLocation: {location}\r\n"))

        message, requests = self.push(answer)
        keeper.close()
        self.assertIn("has 3 bytes there", message)
        self.assertFalse(any("op=RENAME" in line for line in requests))

    def test_a_token_is_sent_and_not_told(self) -> None:
        token = Path(self.folder.name) / "token"
        token.write_text("SECRET+TOKEN/=\n")
        message, requests = self.push(lambda connection, _: connection.sendall(http("401 No")), "--token-file", str(token))
        self.assertTrue(any("&delegation=SECRET%2BTOKEN/=" in line for line in requests), requests)
        self.assertNotIn("SECRET", message)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
