# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What is said of runs that failed: the cause last."""
from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from testbed.run import Outcome
from testbed.witness import rig, trouble
from testbed.witness.rig import RigError, Run


class Trouble(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "machine").mkdir()
        (self.folder / "machine/console.log").write_text("x" * 5000 + "Kernel panic\n")
        (self.folder / "collector-0.log").write_text("cannot write: No space left on device\n")

    def refused(self, outcome: Outcome, **facts: int) -> str:
        with self.assertRaises(RigError) as caught:
            rig.require_ended(Run(self.folder, dict(facts)), outcome, "finished", 60.0)
        return str(caught.exception)

    def test_a_run_that_ended_well_is_none(self) -> None:
        rig.require_ended(Run(self.folder, {"collector_exit": 0}), Outcome(state="finished"), "finished", 60.0)

    def test_the_collector_is_the_cause(self) -> None:
        for code, words in ((3, "ended with 3"), (-9, "and was killed"), (-11, "SIGSEGV")):
            said = self.refused(Outcome(state="finished"), collector_exit=code)
            self.assertIn(words, said.splitlines()[-1])
            self.assertIn("No space left", "\n".join(said.splitlines()[-5:]))

    def test_the_machine_is_the_cause(self) -> None:
        crashed = Outcome(state="crashed", shutdown="guest-reset", qemu_exit=0, stages=[{"stage": "sample"}],
                          results=[{"name": "error", "value": "no tools disk"}, {"name": "watch_started", "value": {}}])
        last = self.refused(crashed).splitlines()[-1]
        for words in ("crashed", "guest-reset", "no tools disk", "stage sample, result watch_started"):
            self.assertIn(words, last)
        self.assertIn("had not ended after 60 s", self.refused(Outcome(state="timeout")).splitlines()[-1])
        self.assertIn("Kernel panic", self.refused(crashed))
        self.assertLess(len(self.refused(crashed)), 4000)

    def test_an_exception_is_named_last(self) -> None:
        try:
            raise TimeoutError("timed out")
        except TimeoutError as error:
            said = trouble.told_of(self.folder, error)
        self.assertEqual(said.splitlines()[-1].split(" (only")[0], "TimeoutError: timed out")
        self.assertIn("test_trouble.py", said)


if __name__ == "__main__":
    unittest.main()
