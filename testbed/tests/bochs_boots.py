# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Real boots in Bochs without the sensor: the ground that the witnesses on VT-x stand on."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from testbed.bochs_session import BochsSession
from testbed.request import DiskWish, Request
from testbed.run import Outcome

SCRIPT = '''result cpus "\\"$(cat /sys/devices/system/cpu/online)\\""
result firmware "\\"$([ -d /sys/firmware/efi ] && echo uefi || echo bios)\\""
printf "%4096s" proof | dd of="$(disk test0)" bs=4096 seek=5 oflag=direct 2>/dev/null
'''


class BochsBootTest(unittest.TestCase):
    def boot(self, firmware: str, cpus: int) -> Outcome:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        out = Path(temporary.name)
        script = out / "write.sh"
        script.write_text(SCRIPT)
        request = Request(out, workload=str(script), emulator="bochs", firmware=firmware, cpus=cpus, memory="512M",
                          disks=[DiskWish(16 << 20)], timeout=400)
        session = BochsSession(request)
        outcome = session.run()
        console = session.machine.console.read_text(errors="replace")[-2000:] if session.machine else ""
        self.assertEqual((outcome.state, outcome.shutdown, outcome.result("exit_status")), ("finished", "guest-shutdown", 0), console)
        self.assertEqual(outcome.result("firmware"), firmware)
        image = (out / "disk0.raw").read_bytes()
        self.assertEqual(image[5 * 4096:6 * 4096], b"%4096s" % b"proof")
        self.assertEqual(image.count(0), len(image) - 4096)
        return outcome

    def test_uefi(self) -> None:
        self.assertEqual(self.boot("uefi", 1).result("cpus"), "0")

    def test_bios_with_two_cpus(self) -> None:
        self.assertEqual(self.boot("bios", 2).result("cpus"), "0-1")


if __name__ == "__main__":
    unittest.main()
