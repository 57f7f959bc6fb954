# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Real boots without the sensor: the ground that all witnesses stand on."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from testbed.request import DiskWish, Request
from testbed.run import Outcome
from testbed.session import Session


class BootTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.out = Path(temporary.name)

    def finish(self, request: Request) -> tuple[Session, Outcome]:
        session = Session(request)
        outcome = session.run()
        console = session.machine.console.read_text(errors="replace")[-2000:] if session.machine else ""
        self.assertEqual((outcome.state, outcome.shutdown), ("finished", "guest-shutdown"), console)
        return session, outcome

    def test_two_cpus_and_writes_where_they_belong(self) -> None:
        script = self.out / "write.sh"
        script.write_text('result cpus "\\"$(cat /sys/devices/system/cpu/online)\\""\n'
                          'printf "%4096s" proof | dd of="$(disk test0)" bs=4096 seek=5 oflag=direct 2>/dev/null\n')
        request = Request(self.out, workload=str(script), cpus=2, disks=[DiskWish(16 << 20)], log_writes=True, timeout=150)
        session, outcome = self.finish(request)
        self.assertEqual(outcome.result("cpus"), "0-1")
        self.assertEqual(outcome.result("exit_status"), 0)
        image = (self.out / "disk0.raw").read_bytes()
        self.assertEqual(image[5 * 4096:6 * 4096], b"%4096s" % b"proof")
        self.assertEqual(image.count(0), len(image) - 4096)
        self.assertEqual([int(value, 16) & 1 << 12 for value in session.report["efer_at_workload"]], [0, 0])  # no SVM in use


if __name__ == "__main__":
    unittest.main()
