# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The judge of snapshots on made-up files."""
from __future__ import annotations

import struct
import tempfile
import unittest
from pathlib import Path

from testbed.witness import memory_snapshot
from testbed.witness.memory_snapshot import PAGE_BYTES, Region

MEMORY_PAGES = 16
REGIONS = [(1, 4), (6, 16)]  # pages


class Compare(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        self.memory = [bytes([number]) * PAGE_BYTES for number in range(MEMORY_PAGES)]

    def compare(self, dumped: list[bytes], regions: list[tuple[int, int]]) -> str:
        saved, dump = self.path / "saved", self.path / "dump"
        saved.write_bytes(b"".join(self.memory))
        dump.write_bytes(b"".join(struct.pack("<4sIQQ8x", b"EMiL", 1, first * PAGE_BYTES, end * PAGE_BYTES - 1) + b"".join(dumped[first:end])
                                  for first, end in regions))
        return "; ".join(memory_snapshot.compare(dump, saved, "test").problems)

    def test_equal_memory_passes(self) -> None:
        self.assertEqual(self.compare(self.memory, REGIONS), "")
        first = memory_snapshot.lime_regions(self.path / "dump")[0]
        self.assertEqual(first, Region(PAGE_BYTES, 4 * PAGE_BYTES, 32))

    def test_a_page_of_another_time_is_found(self) -> None:
        dumped = list(self.memory)
        dumped[7] = dumped[7][:-1] + b"x"
        self.assertIn("pages that differ: 1\n      0x7000", self.compare(dumped, REGIONS))

    def test_too_little_is_found(self) -> None:
        self.assertIn("only 3 of 16", self.compare(self.memory, [(1, 4)]))

    def test_what_lies_beyond_the_machine_is_found(self) -> None:
        self.assertIn("beyond", self.compare([*self.memory, bytes(PAGE_BYTES)], [(0, 17)]))

    def test_no_lime_file(self) -> None:
        (self.path / "dump").write_bytes(bytes(64))
        with self.assertRaises(ValueError):
            memory_snapshot.lime_regions(self.path / "dump")


class Processes(unittest.TestCase):
    SAID = "1 init\n2 kthreadd\n77 cat\n" + "".join(f"{pid} worker {pid}\n" for pid in range(100, 120))

    def test_those_that_stay_must_be_listed(self) -> None:
        listed = [{"PID": 1, "COMM": "init"}, {"PID": 2, "COMM": "kthreadd"}, *({"PID": pid, "COMM": f"worker {pid}"} for pid in range(100, 120))]
        self.assertTrue(memory_snapshot.compare_processes(self.SAID, listed).ok)
        verdict = memory_snapshot.compare_processes(self.SAID, listed[:-1])
        self.assertIn("not listed: 1\n      119 worker 119", "; ".join(verdict.problems))

    def test_a_guest_that_names_nothing_proves_nothing(self) -> None:
        self.assertFalse(memory_snapshot.compare_processes("1 init\n", [{"PID": 1, "COMM": "init"}]).ok)


if __name__ == "__main__":
    unittest.main()
