# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft features against the definitions, computed here with exact fractions from every piece of every window."""
from __future__ import annotations

import csv
import tempfile
import unittest
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq

import run_program
from run_program import bad, good
from random_rows import SECOND, START, random_rows
from store_writer import BOOT, MACHINE, Row, requests, write_records


def variance(values: list[int]) -> float:
    if not values:
        return 0.0
    mean = Fraction(sum(values), len(values))
    return float(sum((value - mean) ** 2 for value in values) / len(values))


def expected(rows: list[Row], window: int, step: int, source: int | None = None) -> list[dict[str, float | int | None]]:
    first = min(row.time for row in rows)
    last_step = (max(row.time for row in rows) - first) // step
    result = []
    for number in range(last_step - window // step + 2):
        start = first + number * step
        inside = [row for row in rows if start <= row.time < start + window and (row.kind == "gap" or source in (None, row.source))]
        inside = [row for row in inside if row.kind in ("read", "write", "gap")]
        if not inside:
            continue
        pieces = {kind: [row.address + 8 * at for row in inside if row.kind == kind for at in range(-(-row.length // 4096))]
                  for kind in ("read", "write")}
        size = {kind: sum(row.length for row in inside if row.kind == kind) for kind in ("read", "write")}
        entropies = [row.entropy for row in inside if row.kind == "write" and row.entropy is not None]
        result.append({
            "window_start_ns": start, "read_bytes_per_s": size["read"] / (window / SECOND),
            "write_bytes_per_s": size["write"] / (window / SECOND), "read_lba_variance": variance(pieces["read"]),
            "write_lba_variance": variance(pieces["write"]),
            "write_entropy": float(sum(map(Fraction, entropies)) / len(entropies)) if entropies else None,
            "read_pieces": len(pieces["read"]), "write_pieces": len(pieces["write"]),
            "lost_records": sum(row.length for row in inside if row.kind == "gap")})
    return result


class Features(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.store = self.path / "store"

    def tearDown(self) -> None:
        self.folder.cleanup()

    def features(self, *options: object) -> list[dict[str, str]]:
        good("features", self.store, "--out", self.path / "features.csv", *options)
        with open(self.path / "features.csv", newline="") as file:
            return list(csv.DictReader(file))

    def compare(self, got: list[dict[str, str]], wanted: list[dict[str, float | int | None]]) -> None:
        self.assertEqual([int(row["window_start_ns"]) for row in got], [row["window_start_ns"] for row in wanted])
        for row, want in zip(got, wanted):
            self.assertEqual((row["machine"], row["boot"]), (MACHINE, BOOT))
            for name, value in want.items():
                if value is None:
                    self.assertEqual(row[name], "")
                elif isinstance(value, int):
                    self.assertEqual(int(row[name]), value)
                else:
                    self.assertAlmostEqual(float(row[name]), value, delta=1e-9 * abs(value), msg=name)

    def test_against_the_definitions(self) -> None:
        # The second disk is so large that squares of LBAs do not fit a double's 53 bits.
        for seed, far in ((1, 0), (2, 1 << 46)):
            rows = random_rows(seed, 600, far)
            write_records(self.store, rows, per_file=150)
            for window, step in ((10, 1), (5, 5), (60, 20)):
                wanted = expected(rows, window * SECOND, step * SECOND)
                self.assertGreater(len(wanted), 3)
                self.compare(self.features("--window", f"{window}s", "--step", f"{step}s"), wanted)
            self.compare(self.features("--source", "1:2"), expected(rows, 10 * SECOND, SECOND, 258))
            for file in self.store.rglob("*.parquet"):
                file.unlink()

    def test_one_window_by_hand(self) -> None:
        rows = [*requests("read", START, 100, 8192, 0), *requests("write", START + SECOND, 1000, 4096, 1, entropy=0.5),
                *requests("write", START + SECOND, 1020, 4096, 2, entropy=1.0), Row(3, START + 2 * SECOND - 1, "flush", 0, 0)]
        write_records(self.store, rows)
        self.assertEqual(self.features("--window", "2s", "--step", "1s"), [{
            "machine": MACHINE, "boot": BOOT, "window_start_ns": str(START), "read_bytes_per_s": "4096",
            "write_bytes_per_s": "4096", "read_lba_variance": "16", "write_lba_variance": "100", "write_entropy": "0.75",
            "read_pieces": "2", "write_pieces": "2", "lost_records": "0"}])

    def test_parquet_has_the_same(self) -> None:
        rows = random_rows(3, 300)
        write_records(self.store, rows)
        text = self.features()
        good("features", self.store, "--format", "parquet", "--out", self.path / "features.parquet")
        table = pq.read_table(self.path / "features.parquet").to_pylist()
        self.assertEqual(len(table), len(text))
        for row, line in zip(table, text):
            self.assertEqual({name: "" if value is None else float(value) if isinstance(value, float) else str(value) for name, value in row.items()},
                             {name: float(value) if isinstance(row[name], float) else value for name, value in line.items()})

    def test_several_boots(self) -> None:
        rows = random_rows(4, 100)
        write_records(self.store, rows)
        write_records(self.store, rows, boot="0" * 32)
        lines = self.features()
        self.assertEqual({line["boot"] for line in lines}, {BOOT, "0" * 32})
        self.assertEqual(len(self.features("--boot", "0")), len(lines) // 2)

    def test_refusals(self) -> None:
        write_records(self.store, random_rows(5, 10))
        for options in (("--window", "0s"), ("--step", "1ms", "--window", "100s"), ("--boot", "77"), ("--set", "none")):
            bad("features", self.store, "--out", self.path / "x.csv", *options)
        bad("features", self.store, "--out", self.path / "no/such/folder.csv")
        bad("features", self.store, "--format", "parquet", "--out", self.path / "no/such/folder.parquet")

    def test_a_far_jump_of_the_clock_is_no_burden(self) -> None:
        rows = [*requests("read", START, 0, 4096, 0), *requests("read", START + 80 * 365 * 86400 * SECOND, 0, 4096, 1)]
        write_records(self.store, rows)
        self.assertEqual(len(self.features()), 2)  # nothing in between, where there is nothing


if __name__ == "__main__":
    run_program.main()
