# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft features, all of the catalogue: every feature against its formula, computed independently, from folders and from a store."""
from __future__ import annotations

import csv
import math
import random
import tempfile
import unittest
from pathlib import Path

import features_by_hand
import run_program
from features_by_hand import Piece, single
from run_program import good

SECOND = 10**9
START = 1_586_220_958


def make_pieces(seed: int, seconds: float, rows: int) -> list[Piece]:
    """Reads and writes that come back to the same blocks, in runs and alone, with silences."""
    rng = random.Random(seed)
    pieces: list[Piece] = []
    ticks = sorted(rng.randrange(int(seconds * 2**30)) for _ in range(rows // 4))
    for tick in [0, *ticks]:
        if 4.2 * 2**30 < tick < 6.9 * 2**30:
            continue
        time = START * SECOND + (tick * SECOND + 2**29 >> 30)
        write, lba = rng.random() < 0.4, rng.choice([rng.randrange(4000) * 3, rng.randrange(2_000_000), rng.randrange(60) * 8])
        for i in range(rng.choice([1, 1, 1, 2, 5, 9, 20, 70])):
            size = rng.choice([4096, 4096, 4096, 512, 1536]) if i == 0 else 4096
            entropy = single(rng.choice([0.0, rng.random(), 0.994])) if write else None
            pieces.append(Piece(time, write, lba + 8 * i, size, entropy))
    # As the reader orders them: by time, reads before writes, then by address.
    return sorted(pieces, key=lambda p: (p.time, p.write, p.lba))


def write_run(folder: Path, pieces: list[Piece]) -> None:
    """As published: text order, sub-seconds of 2^30."""
    folder.mkdir(parents=True)
    lines: dict[bool, list[str]] = {False: [], True: []}
    for p in pieces:
        sub = -(-(p.time % SECOND) * 2**30 // SECOND) if p.time % SECOND else 0
        tail = f",{p.entropy!r},0.0" if p.write else ""
        lines[p.write].append(f"{p.time // SECOND},{sub},{p.lba},{p.size}{tail}\n")
    for write, name in ((False, "ata_read.csv"), (True, "ata_write.csv")):
        (folder / name).write_text("".join(sorted(lines[write])))


def snapped(pieces: list[Piece]) -> list[Piece]:
    """Times as the reader gets them back from the file."""
    result = []
    for p in pieces:
        sub = -(-(p.time % SECOND) * 2**30 // SECOND) if p.time % SECOND else 0
        result.append(Piece(p.time // SECOND * SECOND + (sub * SECOND + 2**29 >> 30), p.write, p.lba, p.size, p.entropy))
    return sorted(result, key=lambda p: (p.time, p.write, p.lba))


class Catalogue(unittest.TestCase):
    def setUp(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.path = Path(self.temporary.name)
        self.pieces = snapped(make_pieces(7, 24, 700))
        self.tree = self.path / "dataset/original/win7/Zip"
        write_run(self.tree / "Zip-1", make_pieces(7, 24, 700))

    def tearDown(self) -> None:
        self.temporary.cleanup()

    def table(self, source: Path, *options: object) -> list[dict[str, str]]:
        good("features", source, "--first-reads", "--out", self.path / "table.csv", *options)
        with open(self.path / "table.csv", newline="") as file:
            return list(csv.DictReader(file))

    def compare(self, rows: list[dict[str, str]], windows: dict[str, float], pane: float) -> int:
        compared = 0
        for row in rows:
            end = int(row["window_start_ns"]) + round(max(windows.values()) * SECOND)
            for label, seconds in windows.items():
                expected = features_by_hand.features(self.pieces, round(seconds * SECOND), end, round(pane * SECOND))
                for name, value in expected.items():
                    column = f"{name}@{label}" if len(windows) > 1 else name
                    if column not in row:
                        continue
                    where = f"{column} at {end}"
                    if value is None:
                        self.assertEqual(row[column], "", where)
                    else:
                        got = float(row[column])
                        self.assertTrue(math.isclose(got, value, rel_tol=1e-6, abs_tol=1e-7), f"{where}: {got}, by hand {value}")
                    compared += 1
        return compared

    def test_every_feature_in_several_windows(self) -> None:
        rows = self.table(self.tree, "--window", "3s,10s,2500ms", "--step", "1500ms", "--set", "storage")
        self.assertGreater(len(rows), 8)
        self.assertGreater(self.compare(rows, {"3s": 3, "10s": 10, "2500ms": 2.5}, 0.5), 8 * 3 * 50)
        rows = self.table(self.tree, "--window", "5s", "--step", "5s", "--set", "ransap")
        self.assertEqual(self.compare(rows, {"5s": 5}, 5), len(rows) * 5)

    def test_a_store_gives_the_same_rows(self) -> None:
        good("import", "--format", "ransap", self.path, self.path / "store")
        options = ("--window", "2s,10s", "--step", "1s", "--set", "storage")
        direct, stored = self.table(self.tree, *options), self.table(self.path / "store", *options)
        self.assertEqual(len(direct), len(stored))
        for one, other in zip(direct, stored):
            self.assertEqual({k: v for k, v in one.items() if k not in ("machine", "boot")}, {k: v for k, v in other.items() if k not in ("machine", "boot")})

    def test_ransmap_memory(self) -> None:
        folder = self.path / "map/dataset/original/i3/ddr4/Idle/Idle-1"
        folder.mkdir(parents=True)
        (folder / "mem_write.csv").write_text("5,         0,4096,4096,0.25,2\n5,       100,12288,4096,0.75,2\n6,         0,0,4096,0.5,1\n")
        (folder / "mem_exec.csv").write_text("5,         5,100,0,-1,4\n7,         0,300,0,-1,1\n")
        row = self.table(folder, "--window", "1s", "--step", "1s", "--set", "ransmap")[0]
        self.assertEqual(row["write_entropy"] + row["memory_readwrite_entropy"], "")
        got = {name: float(value) for name, value in list(row.items())[3:-3] if value and float(value) != 0}
        self.assertEqual(len(row), 3 + 23 + 3)
        self.assertEqual(got, {"memory_write_entropy": 0.5, "memory_write_2m": 2, "memory_exec_mmio": 1, "memory_write_variance": 4096.0**2})


if __name__ == "__main__":
    run_program.main()
