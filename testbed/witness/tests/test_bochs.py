# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What is made of the counter's file, and that the checks of a run in Bochs can fail."""
from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

from testbed.witness import bochs_check, bochs_counts, figures
from testbed.witness.access import FLUSH, READ, WRITE, Access
from testbed.witness.rig import RigError, Run


def cpu(mode: str = "guest", outside: int = 1000, root: int = 50, guest: int = 100, exits: int = 7, failures: int = 0) -> dict[str, object]:
    return {"mode": mode, "outside": outside, "outside_iterations": 0, "root": root, "root_iterations": 0, "guest": guest,
            "guest_iterations": 0, "entries": exits, "entry_failures": failures, "exits": {"30": exits - 1, "48": 1} if exits else {}}


def ata(command: int, device: int, count: list[int], lba: list[int], mode: int = 2) -> dict[str, object]:
    return {"ata": 1, "drive": 0, "command": command, "device": device, "count": count, "lba": lba, "cpu": 0, "mode": mode}


class BochsCountsTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        (self.folder / "machine").mkdir()

    def write(self, *lines: dict[str, object]) -> Path:
        path = self.folder / "machine" / "counts.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
        return path

    def test_commands(self) -> None:
        path = self.write(ata(0xC8, 0xE1, [0, 9], [0x76, 0x21, 1, 5, 5, 5]), ata(0x35, 0xE0, [2, 1], [1, 2, 3, 4, 5, 6]),
                          ata(0xE7, 0xE0, [0, 0], [0] * 6), ata(0xEC, 0xE0, [0, 0], [0] * 6), {"end": 0, "cpus": [cpu()]})
        accesses = [command.access for command in bochs_counts.read_counts(path).commands]
        self.assertEqual(accesses, [Access(READ, 0x1012176, 256 * 512), Access(WRITE, 0x060504030201, 258 * 512), Access(FLUSH, 0, 0), None])

    def test_without_an_end_nothing_is_said(self) -> None:
        with self.assertRaises(bochs_counts.CountError):
            bochs_counts.read_counts(self.write({"mark": 1, "cpus": [cpu()]}))

    def test_between_marks(self) -> None:
        counts = bochs_counts.read_counts(self.write({"mark": 1, "cpus": [cpu()]}, {"mark": 2, "cpus": [cpu(guest=400, root=90, exits=9)]},
                                                     {"end": 0, "cpus": [cpu(guest=400, root=90, exits=9)]}))
        (now,) = bochs_counts.between(counts, 1, 2)
        self.assertEqual((now.guest, now.root, now.outside, now.exits), (300, 40, 0, {30: 2}))

    def run_of(self, cpus: int) -> Run:
        (self.folder / "machine" / "report.json").write_text('{"vmx_complaints": []}', encoding="ascii")
        setup = {"cpus": cpus, "collector": False}
        return Run(self.folder, {"setup": setup})

    def controlled(self, begin: list[dict[str, object]], end: list[dict[str, object]], cpus: int = 2) -> list[str]:
        self.write({"mark": 1, "cpus": begin}, {"mark": 2, "cpus": end}, {"end": 0, "cpus": end})
        return bochs_check.controlled(self.run_of(cpus)).problems

    def test_two_controlled_cpus(self) -> None:
        begin, end = [cpu(), cpu()], [cpu(guest=200), cpu(guest=300, mode="root")]
        self.assertEqual(self.controlled(begin, end), [])

    def test_a_cpu_that_got_away(self) -> None:
        self.assertIn("modes", self.controlled([cpu(), cpu(mode="outside")], [cpu(guest=200), cpu(mode="outside", outside=9000)])[0])
        self.assertIn("outside VMX", self.controlled([cpu(), cpu()], [cpu(guest=200), cpu(guest=300, outside=1001)])[0])
        self.assertIn("nothing beneath", self.controlled([cpu(), cpu()], [cpu(guest=200), cpu()])[0])
        self.assertIn("modes", self.controlled([cpu()], [cpu(guest=200)])[0])
        self.assertIn("failed entries", self.controlled([cpu(), cpu()], [cpu(guest=200), cpu(guest=300, failures=1)])[0])

    def test_figures(self) -> None:
        write, read = ata(0xCA, 0xE0, [8, 0], [1, 0, 0, 0, 0, 0]), ata(0xC8, 0xE0, [8, 0], [1, 0, 0, 0, 0, 0])
        marks = [{"mark": number, "cpus": [values]} for number, values in (
            (3, cpu(exits=10, root=100)), (4, cpu(exits=18, root=900)), (5, cpu(exits=19, root=1000)), (6, cpu(exits=25, root=1100)),
            (7, cpu(exits=51, root=1600)))]
        end = {"end": 0, "cpus": [cpu(exits=60, root=2000)]}
        self.write(write, marks[0], write, read, write, marks[1], write, *marks[2:], end)
        self.assertEqual(figures.of_vmx(self.run_of(1)).figures("vmx"), {
            "vmx_exits_per_ide_dma_command": 4, "vmx_instructions_per_exit": 100, "vmx_instructions_per_ide_dma_command": 400,
            "vmx_exits_per_idle_second": 2, "vmx_instructions_per_idle_second": 40})
        self.write(*marks, end)
        with self.assertRaises(RigError):
            figures.of_vmx(self.run_of(1)).figures("vmx")

    def test_figures_of_svm(self) -> None:
        command = "1@2.3:ide_ioport_write IDE PIO wr @ 0x1f7 (Command); val 0x{}; bus 0x5 IDEState 0x6"
        mark = "undercroft-probe: mark {} vmruns {} instructions {}"
        lines = [command.format("ca"), mark.format(3, 10, 100), command.format("ca"), command.format("c8"), command.format("35"),
                 mark.format(4, 18, 900), command.format("ca"), mark.format(5, 19, 1000), mark.format(6, 25, 1100),
                 mark.format(7, 51, 1600)]
        log = self.folder / "machine" / "witness.log"
        log.write_text("\n".join(lines), encoding="ascii")
        phases = figures.of_svm(self.run_of(1))
        self.assertEqual((phases.issued, phases.commands, phases.rest), (2, figures.Phase(8, 800), figures.Phase(20, 400)))
        log.write_text("\n".join(lines[:-1]), encoding="ascii")
        with self.assertRaises(RigError):
            figures.of_svm(self.run_of(1))

    def test_exits_are_named(self) -> None:
        self.assertEqual(bochs_counts.named({48: 1, 30: 6, 70: 2}), "io 6, 70 2, ept_violation 1")


if __name__ == "__main__":
    unittest.main()
