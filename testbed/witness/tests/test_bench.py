# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The bench's reading of the probe's marks, and its targets."""
from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from bench import run as bench
from testbed.witness.rig import Run

LOG = """undercroft-probe: first vmrun on cpu 0 at 0x76073006
undercroft-probe: mark 0 vmruns 100 instructions 5000
undercroft-probe: mark 1 vmruns 500 instructions 45000
undercroft-probe: end 0 vmruns 600 instructions 50000
"""


class Bench(unittest.TestCase):
    def test_phases_are_differences_of_marks(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "machine").mkdir()
            (folder / "machine" / "witness.log").write_text(LOG, encoding="utf-8")
            found = bench.marks(Run(folder, {}))
        self.assertEqual(bench.phase(found, 0, 1), (400, 40000))
        self.assertEqual(found[-1], (600, 50000))

    def test_targets(self) -> None:
        self.assertEqual(bench.TARGETS["exits_per_4k_ncq_write_qd1"].verdict(4.0), "pass")
        self.assertEqual(bench.TARGETS["exits_per_4k_ncq_write_qd1"].verdict(4.01), "MISS")
        self.assertEqual(bench.TARGETS["ratio_cpu_loop"].verdict(0.98), "pass")
        self.assertEqual(bench.TARGETS["ratio_cpu_loop"].verdict(0.979), "MISS")
        self.assertEqual(bench.TARGETS["instructions_per_exit"].verdict(1e9), "")


if __name__ == "__main__":
    unittest.main()
