# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft export: golden lines."""
from __future__ import annotations

import csv
import hashlib
import math
import random
import tempfile
import unittest
from pathlib import Path

import run_program
from run_program import good
from store_writer import HAS_CONTENT, Row, requests, write_content, write_records

START = 1_700_000_000 * 10**9


def shannon(data: bytes) -> float:
    """Bits per byte / 8."""
    return -sum(n / len(data) * math.log2(n / len(data)) for n in (data.count(bytes([b])) for b in set(data))) / 8


class Export(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.store = self.path / "store"

    def tearDown(self) -> None:
        self.folder.cleanup()

    def export(self, *options: object) -> tuple[str, str]:
        good("export", self.store, "--out", self.path / "out", *options)
        return (self.path / "out/ata_read.csv").read_text(), (self.path / "out/ata_write.csv").read_text()

    def test_golden_lines_without_content(self) -> None:
        rows = [
            *requests("read", START + 500_000_001, 2540132, 8192 + 512, 0),
            *requests("write", START + 7, 480672, 4096 + 1024, 1, entropy=0.25),
            Row(3, START + 8, "flush", 0, 0), Row(4, START + 9, "gap", 4, 2), Row(6, START + 9, "trim", 8, 4096),
            Row(7, START + 10, "write", 8, 4096),
        ]
        write_records(self.store, rows)
        self.assertEqual(
            self.export("--format", "ransap"),
            ("1700000000,500000001,2540132,4096\n1700000000,500000001,2540140,4096\n1700000000,500000001,2540148,512\n",
             "1700000000,7,480672,4096,0.25,0.0\n1700000000,7,480680,1024,0.25,0.0\n1700000000,10,8,4096,NaN,0.0\n"))
        self.assertEqual(
            self.export("--format", "ransmap", "--time-scale", "ransap"),
            ("1700000000, 536870913,2540132,4096,-1,0\n1700000000, 536870913,2540140,4096,-1,0\n"
             "1700000000, 536870913,2540148,512,-1,0\n",
             "1700000000,         7,480672,4096,0.25,0\n1700000000,         7,480680,1024,0.25,0\n1700000000,        10,8,4096,-1,0\n"))

    def test_entropies_from_content(self) -> None:
        rng = random.Random(1)
        blocks = [rng.randbytes(4096), bytes(4096), bytes([0] * 4095 + [9]), b"text " * 100 + bytes(12), rng.randbytes(1536)]
        rows = []
        for block in blocks:
            rows.append(Row(len(rows), START, "write", 8, len(block), entropy=0.5, flags=3 | HAS_CONTENT, content=hashlib.sha256(block).digest()))
        write_records(self.store, rows)
        write_content(self.store, blocks)
        lines = [line.split(",") for line in self.export("--format", "ransap")[1].splitlines()]
        self.assertEqual([line[4] for line in lines[1:3]], ["-0.0", "4.1023312122561166E-4"])
        self.assertEqual([line[5] for line in lines[1:3]], ["0.0", "2.880820801083748E-4"])
        for block, line in zip(blocks, lines):
            parts = [block[at : at + 256] for at in range(0, len(block), 256)]
            self.assertAlmostEqual(float(line[4]), shannon(block), delta=1e-12)
            self.assertAlmostEqual(float(line[5]), sum(map(shannon, parts)) / len(parts), delta=1e-12)

    def test_csv(self) -> None:
        rows = [Row(0, START + 1, "read", 5, 512, 258), Row(1, START + 2, "gap", 1, 3), Row(4, START + 3, "write", 9, 512, 258, 0.5, 7, b"\xab" * 32)]
        write_records(self.store, rows)
        good("export", self.store, "--format", "csv", "--out", self.path / "out")
        with open(self.path / "out/records.csv", newline="") as file:
            lines = list(csv.DictReader(file))
        self.assertEqual([line["kind"] for line in lines], ["read", "gap", "write"])
        self.assertEqual(lines[2], {"seq": "4", "time_ns": str(START + 3), "time": "2023-11-14T22:13:20.000000003Z", "kind": "write",
                                    "lba": "9", "bytes": "512", "source": "258", "entropy": "0.5", "flags": "7", "content": "ab" * 32})
        self.assertEqual([lines[0]["entropy"], lines[0]["content"]], ["", ""])


if __name__ == "__main__":
    run_program.main()
