# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The bench's reading of the probe's marks, and its targets."""
from __future__ import annotations

import json
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

    def test_a_part_replaces_only_its_own_figures(self) -> None:
        def figure(name: str, value: float) -> dict[str, object]:
            return {"name": name, "value": value, "unit": "", "reference": None, "note": ""}

        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "bench.json"
            self.assertEqual(bench.merged(path, [figure("ratio_cpu_loop", 1)]), [figure("ratio_cpu_loop", 1)])
            path.write_text(json.dumps([figure("boot_extra_s", 2), figure("ratio_cpu_loop", 1), figure("of_old", 3)]), encoding="utf-8")
            found = bench.merged(path, [figure("instructions_per_exit", 5), figure("boot_extra_s", 4)])
        self.assertEqual([(entry["name"], entry["value"]) for entry in found],
                         [("instructions_per_exit", 5), ("ratio_cpu_loop", 1), ("boot_extra_s", 4)])

    def test_targets(self) -> None:
        self.assertEqual(bench.TARGETS["exits_per_4k_ncq_write_qd1"].verdict(4.0), "pass")
        self.assertEqual(bench.TARGETS["exits_per_4k_ncq_write_qd1"].verdict(4.01), "MISS")
        self.assertEqual(bench.TARGETS["ratio_cpu_loop"].verdict(0.98), "pass")
        self.assertEqual(bench.TARGETS["ratio_cpu_loop"].verdict(0.979), "MISS")
        self.assertEqual(bench.TARGETS["instructions_per_exit"].verdict(1e9), "")


if __name__ == "__main__":
    unittest.main()
