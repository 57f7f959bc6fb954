# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What is made of a guest's console output, sound or not."""

from __future__ import annotations

import base64
import gzip
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

from testbed import memtest, run
from testbed.run import ConsoleReader, Outcome

MEMTEST = (
    "\x1b[2J\x1b[1;1H      Memtest86+ v6.10      \x1b[8;1HCPU: 2 Cores 2 Threads    SMP: 2T (PAR)   | Time:  0:00:00"
    "\x1b[9;1HUsing: Core #0                            | Pass:  0        Errors: 0           "
    "\x1b[4;36H #0  [Address test, walking ones, no cache]   "
    "\x1b[8;1HCPU: 2 Cores 2 Threads    SMP: 2T (PAR)   | Time:  0:00:12  Status: Testing  \\  "
    "\x1b[9;1HUsing: All Cores                          | Pass:  0        Errors: 0           "
    "\x1b[4;36H #4  [Moving inversions, 8 bit pattern]       ")


class ConsoleReaderTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.outcome = Outcome()
        self.events: list[str] = []
        self.reader = ConsoleReader(Path(temporary.name), self.outcome, self.events.append, [r"EFI stub"])

    def test_lines_in_pieces(self) -> None:
        for piece in ("EFI st", "ub: hello\r\nUNDERCROFT-STA", 'GE {"stage":"userspace","guest_uptime_s":2.2}\r', "\n"):
            self.reader.feed(piece, 5.0)
        self.assertEqual(self.outcome.stages, [{"stage": "userspace", "guest_uptime_s": 2.2, "host_s": 5.0}])
        self.assertEqual(self.outcome.seen, {"EFI stub": 5.0})

    def test_result_behind_terminal_control(self) -> None:
        self.reader.feed('\x1b[mUNDERCROFT-RESULT {"name":"n","value":{"a":1}}\r\n', 1.0)
        self.assertEqual(self.outcome.result("n"), {"a": 1})

    def test_last_value_counts(self) -> None:
        self.reader.feed('UNDERCROFT-RESULT {"name":"n","value":1}\nUNDERCROFT-RESULT {"name":"n","value":2}\n', 1.0)
        self.assertEqual(self.outcome.result("n"), 2)
        self.assertIsNone(self.outcome.result("other"))

    def test_broken_json_is_kept_as_unreadable(self) -> None:
        self.reader.feed('UNDERCROFT-RESULT {"name":"n","value":}\n', 1.0)
        self.assertIn('"value":}', str(self.outcome.result("unreadable")))

    def test_file(self) -> None:
        text = base64.encodebytes(gzip.compress(b"hello " * 1000)).decode()
        self.reader.feed('UNDERCROFT-FILE {"name":"../sly name"}\n' + text + "UNDERCROFT-END\n", 1.0)
        (name, path), = self.outcome.files.items()
        self.assertEqual(name, ".._sly_name")
        self.assertEqual(Path(path).read_bytes(), b"hello " * 1000)

    def test_damaged_file_is_reported(self) -> None:
        self.reader.feed('UNDERCROFT-FILE {"name":"f"}\nAAAA\nUNDERCROFT-END\n', 1.0)
        self.assertEqual(self.outcome.files, {})
        self.assertIn("file f", str(self.outcome.result("unreadable")))

    def test_words_of_the_kernel_between_the_lines_of_a_file(self) -> None:
        text = base64.encodebytes(gzip.compress(bytes(range(256)) * 9)).decode()
        first, rest = text.split("\n", 1)
        self.reader.feed(f'UNDERCROFT-FILE {{"name":"f"}}\n{first}\n[   12.3] Uhhuh. NMI received\n{rest}UNDERCROFT-END\n', 1.0)
        self.assertEqual(Path(self.outcome.files["f"]).read_bytes(), bytes(range(256)) * 9)

    def test_a_file_without_an_end_costs_nothing_else(self) -> None:
        self.reader.feed('UNDERCROFT-FILE {"name":"f"}\nAAAA\nUNDER[  1.0] Dazed and confusedCROFT-END\n'
                         'UNDERCROFT-STAGE {"stage":"end","guest_uptime_s":2.2}\n', 1.0)
        self.assertEqual(self.outcome.stages[-1]["stage"], "end")
        self.assertEqual(self.outcome.result("unreadable"), "file f: has no end")


class StopTest(unittest.TestCase):
    def stopped_by(self, *events: dict[str, object]) -> tuple[bool, Outcome]:
        outcome = Outcome()
        return run.has_stopped(SimpleNamespace(poll=lambda: list(events)), outcome), outcome

    def test_power_off(self) -> None:
        stopped, outcome = self.stopped_by({"event": "RESUME"}, {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}})
        self.assertEqual((stopped, outcome.shutdown, outcome.error), (True, "guest-shutdown", ""))

    def test_a_full_disk_is_told_at_once(self) -> None:
        data = {"node-name": "disk-test0", "operation": "write", "action": "stop", "reason": "No space left on device"}
        stopped, outcome = self.stopped_by({"event": "BLOCK_IO_ERROR", "data": data})
        self.assertEqual((stopped, outcome.error), (True, "QEMU cannot write disk-test0: No space left on device"))
        self.assertFalse(self.stopped_by({"event": "BLOCK_IO_ERROR", "data": {**data, "action": "report"}})[0])


class MemtestTest(unittest.TestCase):
    def test_screen(self) -> None:
        progress = memtest.parse(MEMTEST)
        self.assertEqual((progress.threads, progress.all_cores, progress.seconds, progress.errors, progress.tests),
                         (2, True, 12, 0, [0, 4]))
        self.assertTrue(progress.passed(2, 10))

    def test_too_short_too_few_or_wrong_is_not_passed(self) -> None:
        self.assertFalse(memtest.parse(MEMTEST).passed(2, 13))
        self.assertFalse(memtest.parse(MEMTEST).passed(4, 10))
        self.assertFalse(memtest.parse(MEMTEST + "\x1b[9;1H| Errors: 3 ").passed(2, 10))
        self.assertFalse(memtest.parse(MEMTEST.replace("All Cores", "Core #1")).passed(2, 10))
        self.assertFalse(memtest.parse("").passed(1, 0.5))


if __name__ == "__main__":
    unittest.main()
