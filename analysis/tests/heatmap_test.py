# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft heatmap against counts made here, row by row and block by block."""
from __future__ import annotations

import json
import random
import struct
import tempfile
import unittest
from collections import Counter
from pathlib import Path

import run_program
from run_program import bad, good
from store_writer import BOOT, FIRST, Row, requests, write_records

START = 1_700_000_000 * 10**9


def random_rows(seed: int, count: int) -> list[Row]:
    """Reads, writes, flushes, trims and gaps; two disks; aligned and unaligned; a cluster and far strays."""
    rng = random.Random(seed)
    rows: list[Row] = []
    seq, time = 0, START
    for _ in range(count):
        time += int(rng.expovariate(1 / 3e7)) if rng.random() > 0.01 else -1000
        kind = rng.choices(["read", "write", "flush", "trim", "gap"], [40, 50, 4, 4, 2])[0]
        if kind == "gap":
            lost = rng.randrange(1, 30)
            rows.append(Row(seq, time, "gap", seq, lost, flags=rng.choice([0, 1 << 15])))
            seq += lost
            continue
        address = rng.randrange(500_000, 600_000) if rng.random() < 0.98 else rng.randrange(2**40)
        size = 512 * rng.choice([1, 3, 8, 8, 8, 16, 64, 256])
        entropy = rng.random() if kind == "write" and rng.random() < 0.9 else None
        new = requests(kind, time, address, 0 if kind == "flush" else size, seq, rng.choice([0, 0, 258]), entropy) or [
            Row(seq, time, kind, 0, 0)
        ]
        rows += new
        seq += len(new)
    return rows


def touched(rows: list[Row], kind: str) -> list[tuple[int, int, float | None]]:
    """(time, block, entropy) for each 4 KiB block that a request touches, once per request."""
    result: list[tuple[int, int, float | None]] = []
    seen: set[int] = set()
    for row in rows:
        if row.flags & FIRST:
            seen = set()
        if row.kind != kind or row.length == 0:
            continue
        for block in range(row.address // 8, (row.address + row.length // 512 - 1) // 8 + 1):
            if block not in seen:
                seen.add(block)
                result.append((row.time, block, row.entropy))
    return result


class Heatmap(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.store = self.path / "store"

    def tearDown(self) -> None:
        self.folder.cleanup()

    def heatmap(self, *options: object) -> dict:
        good("heatmap", self.store, "--out", self.path / "map", *options)
        return json.loads((self.path / "map.json").read_text())

    def check(self, document: dict, rows: list[Row], source: int | None = None) -> None:
        """Every cell equals the count made here."""
        wanted = [row for row in rows if source is None or row.source == source]
        time, lba = document["time"], document["lba"]
        for kind in ("read", "write"):
            counts: Counter[tuple[int, int]] = Counter()
            sums: Counter[tuple[int, int]] = Counter()
            known: Counter[tuple[int, int]] = Counter()
            all_blocks = 0
            for at, block, entropy in touched(wanted, kind):
                if not time["from_ns"] <= at < time["to_ns"]:
                    continue
                all_blocks += 1
                # An asked-for range is widened to whole 4 KiB blocks.
                if not lba["first"] // 8 <= block < -(-lba["end"] // 8):
                    continue
                cell = ((block - lba["first"] // 8) * 8 // lba["cell_sectors"], (at - time["from_ns"]) // time["cell_ns"])
                counts[cell] += 1
                if entropy is not None:
                    sums[cell] += entropy
                    known[cell] += 1
            grid = document["grids"][kind]
            self.assertEqual((len(grid), len(grid[0])), (lba["rows"], time["columns"]))
            got = {(y, x): n for y, line in enumerate(grid) for x, n in enumerate(line) if n}
            self.assertEqual(got, dict(counts))
            self.assertEqual(sum(counts.values()), document["totals"][kind]["shown"])
            self.assertEqual(all_blocks, document["totals"][kind]["accesses"])
            if kind == "write":
                means = document["grids"]["write_entropy"]
                got_means = {(y, x): e for y, line in enumerate(means) for x, e in enumerate(line) if e is not None}
                self.assertEqual(got_means.keys(), known.keys())
                for cell, mean in got_means.items():
                    self.assertAlmostEqual(mean, sums[cell] / known[cell], delta=2e-6)

    def test_cells_equal_rows(self) -> None:
        rows = random_rows(1, 3000)
        write_records(self.store, rows, per_file=1000)
        self.check(self.heatmap(), rows)
        self.check(self.heatmap("--lba-range", "all", "--bins", "50x40"), rows)
        self.check(self.heatmap("--lba-range", "510000-560000", "--from", "+10s", "--to", "+40s"), rows)
        self.check(self.heatmap("--window", "5s", "--scale", "log", "--max", "10"), rows)
        self.check(self.heatmap("--source", "1:2", "--bins", "7x3"), rows, source=258)
        # An unaligned request's end: the range is whole blocks.
        document = self.heatmap("--lba-range", "510003-560001")
        self.assertEqual((document["lba"]["first"], document["lba"]["end"]), (510000, 560008))
        self.check(document, rows)

    def test_gaps_are_counted(self) -> None:
        rows = random_rows(2, 1500)
        write_records(self.store, rows)
        document = self.heatmap()
        self.assertEqual(document["lost"], sum(row.length for row in rows if row.kind == "gap"))
        self.assertEqual(len(document["gaps"]), sum(row.kind == "gap" for row in rows))

    def test_times_without_capture(self) -> None:
        at = lambda second: START + second * 10**9
        accesses = [(0, "read"), (10, "capture_off"), (20, "capture_on"), (30, "write"), (40, "capture_off"), (50, "read")]
        rows = [Row(seq, at(second), kind, 0, 4096 if kind in ("read", "write") else 0) for seq, (second, kind) in enumerate(accesses)]
        write_records(self.store, rows)
        document = self.heatmap("--source", "0:0")
        self.assertEqual([span["from_ns"] for span in document["capture_off"]], [at(10), at(40)])
        self.assertEqual(document["capture_off"][0]["to_ns"], at(20))
        self.assertGreaterEqual(document["capture_off"][1]["to_ns"], at(50))
        self.assertEqual((document["lost"], document["gaps"]), (0, []))
        self.assertEqual(self.heatmap("--from", "+21s", "--to", "+39s")["capture_off"], [])
        [boot] = json.loads(good("info", self.store, "--json"))["boots"]
        self.assertEqual(boot["capture_off"], {"times": 2, "ns": 20 * 10**9, "at_end": True})
        self.assertEqual(boot["records"], 3)
        self.assertIn("switched off 2 times", good("info", self.store))

    def test_missing_file_is_a_gap(self) -> None:
        rows = [row for at in range(300) for row in requests("read", START + at * 10**7, at * 8, 4096, at)]
        files = write_records(self.store, rows, per_file=100)
        files[1].unlink()
        document = self.heatmap()
        self.assertEqual(document["lost"], 100)
        self.assertEqual(document["gaps"], [{"from_ns": START + 99 * 10**7, "to_ns": START + 200 * 10**7, "lost": 100}])

    def test_densest_range(self) -> None:
        rows = random_rows(3, 3000)
        write_records(self.store, rows)
        lba = self.heatmap()["lba"]
        lengths = {}
        for kind in ("read", "write"):
            blocks = sorted(block for _, block, _ in touched(rows, kind))
            inside = sum(lba["first"] <= block * 8 < lba["end"] for block in blocks)
            self.assertGreaterEqual(inside, 0.95 * len(blocks))
            need = -(-95 * len(blocks) // 100)
            lengths[kind] = min(blocks[i + need - 1] - blocks[i] + 1 for i in range(len(blocks) - need + 1))
        # Both kinds lie in the same cluster; 1/64 of margin on both sides, and whole cells.
        longest = max(lengths.values())
        self.assertLess((lba["end"] - lba["first"]) / 8, longest * 1.02 * (1 + 2 / 64) + lba["rows"] + 12500 * 0.05)

    def test_requests_are_counted_once(self) -> None:
        rows = random_rows(4, 1000)
        write_records(self.store, rows)
        document = self.heatmap("--count", "requests", "--lba-range", "all")
        for kind in ("read", "write"):
            number = sum(row.kind == kind and bool(row.flags & FIRST) and row.length > 0 for row in rows)
            self.assertEqual(sum(map(sum, document["grids"][kind])), number)

    def test_pictures(self) -> None:
        write_records(self.store, random_rows(5, 500))
        self.heatmap("--size", "1000x700")
        for kind in ("read", "write", "write-entropy"):
            data = (self.path / f"map-{kind}.png").read_bytes()
            self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
            self.assertEqual(struct.unpack(">II", data[16:24]), (1000, 700))
        self.heatmap("--format", "svg")
        self.assertIn("<svg", (self.path / "map-read.svg").read_text()[:200])
        self.assertEqual([path.name for path in self.path.glob("*.part")], [])

    def test_one_record_and_nothing_in_range(self) -> None:
        rows = requests("write", START, 123_456, 4096, 0, entropy=0.5)
        write_records(self.store, rows)
        self.check(self.heatmap(), rows)
        document = self.heatmap("--from", "2001-01-01T00:00:00Z", "--to", "2001-01-02T00:00:00Z")
        self.assertEqual(document["totals"]["write"]["accesses"], 0)

    def test_absurd_addresses(self) -> None:
        rows = [Row(0, START, "read", 2**64 - 1, 2**32 - 1), Row(1, START + 1, "write", 2**63, 4096), Row(2, 2**62 - 1, "read", 0, 512)]
        write_records(self.store, rows)
        self.heatmap("--lba-range", "all")
        self.heatmap()

    def test_refusals(self) -> None:
        write_records(self.store, random_rows(6, 50))
        write_records(self.store, random_rows(6, 50), boot="ab" * 16)
        message = bad("heatmap", self.store)
        self.assertIn(BOOT, message)
        self.assertIn("ab" * 16, message)
        good("heatmap", self.store, "--boot", "abab", "--out", self.path / "map")
        for options in (["--boot", "12"], ["--boot", "ab", "--from", "x"], ["--boot", "ab", "--lba-range", "9-9"],
                        ["--boot", "ab", "--size", "10x10"], ["--boot", "ab", "--bins", "0x1"], ["--boot", "ab", "--source", "300:1"],
                        ["--boot", "ab", "--from", "+5s", "--to", "+5s"]):
            bad("heatmap", self.store, "--out", self.path / "map", *options)
        self.assertIn("not a store", bad("heatmap", self.path))
        self.assertIn("cannot be written", bad("heatmap", self.store, "--boot", "ab", "--out", self.path / "no" / "map"))


if __name__ == "__main__":
    run_program.main()
