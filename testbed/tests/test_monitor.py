# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The machine protocol against a small server that says what QEMU says."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

from testbed.monitor import Monitor, MonitorError

REGISTERS = ("CPU#0\r\nRAX=0000000000000000 RBX=ffffffff9d80\r\nEFER=0000000000001d01\r\n\r\nCPU#1\r\n"
             "XMM00=00\r\nEFER=0000000000000d01\r\n")


class Server(threading.Thread):
    """Answers one connection; an event comes before each answer, as QEMU may send them at any time."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.commands: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)

    def run(self) -> None:
        connection, _ = self._listener.accept()
        stream = connection.makefile("rw")

        def send(*messages: object) -> None:
            stream.write("".join(json.dumps(message) + "\r\n" for message in messages))
            stream.flush()

        send({"QMP": {"version": {}}})
        decoder, text = json.JSONDecoder(), ""
        while data := connection.recv(4096).decode():
            text += data
            request, end = decoder.raw_decode(text)
            text = text[end:]
            self.commands.append(request["execute"])
            if request["execute"] == "human-monitor-command":
                send({"event": "STOP"}, {"return": REGISTERS})
            elif request["execute"] == "no-such":
                send({"error": {"class": "CommandNotFound", "desc": "not found"}})
            elif request["execute"] == "silence":
                continue
            elif request["execute"] == "bye":
                break
            else:
                send({"return": {}}, {"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}})
        stream.close()
        connection.close()
        self._listener.close()


class MonitorTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        path = Path(temporary.name) / "qmp"
        self.server = Server(path)
        self.server.start()
        self.monitor = Monitor(path)
        self.addCleanup(self.monitor.close)

    def test_efer_of_each_cpu(self) -> None:
        self.assertEqual(self.monitor.efer(), [0x1D01, 0xD01])

    def test_events_between_answers_are_kept(self) -> None:
        self.monitor.human("info status")
        end = time.monotonic() + 5
        while len(self.monitor.poll()) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(sorted(event["event"] for event in self.monitor.events), ["SHUTDOWN", "STOP"])

    def test_refusal(self) -> None:
        with self.assertRaisesRegex(MonitorError, "no-such: not found"):
            self.monitor.command("no-such")

    def test_no_answer(self) -> None:
        with self.assertRaisesRegex(MonitorError, "silence: QEMU did not answer within 0.1 s"):
            self.monitor.command("silence", patience=0.1)

    def test_the_end_of_qemu_is_told(self) -> None:
        with self.assertRaisesRegex(MonitorError, "bye: QEMU ended"):
            self.monitor.command("bye")

    def test_nobody_there(self) -> None:
        with self.assertRaises(MonitorError):
            Monitor(Path("/nonexistent/qmp"), patience=0.1)


if __name__ == "__main__":
    unittest.main()
