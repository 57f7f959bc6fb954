# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft heatmap --stream memory: counts, folded holes, and what was not looked at, counted anew here."""
from __future__ import annotations

import json
import random
import tempfile
import unittest
from pathlib import Path

import run_program
from run_program import bad, good
from store_writer import BY_SCAN, HAS_ENTROPY, MemoryStream, Row, memory_request, write_records

START = 1_700_000_000 * 10**9
PAGE = 4096
MS = 1_000_000
LOW, HIGH = (0x10_0000, 0x20_0000), (0x1_0000_0000, 0x1_0010_0000)  # 256 pages each
PAGES = 512


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        self.store = self.path / "store"
        self.stream = MemoryStream(START, 0)

    def at(self, ms: float, kind: str, address: int = 0, length: int = PAGE, source: int = 0, **fields: object) -> None:
        """A row so many milliseconds after the start."""
        self.stream.time = START + round(ms * MS)
        self.stream.add(kind, address, length, source, **fields)

    def start(self, ms: float, number: int, mode: str) -> None:
        self.stream.time = START + round(ms * MS)
        self.stream.mode(number, mode, [LOW, HIGH])

    def stop(self, ms: float, number: int, mode: str) -> None:
        self.at(ms, "memory_mode", 0, 48, number, request=memory_request(mode, "stop"))

    def arm(self, ms: float, number: int = 1, kind: str = "memory_armed") -> None:
        self.at(ms, kind, 0, 0x8000_0000, number)
        self.at(ms, kind, 0x8000_0000, 0x9000_0000, number)

    def map(self, *options: object) -> dict[str, object]:
        self.stream.write(self.store, per_file=50)
        good("heatmap", self.store, "--stream", "memory", "--out", self.path / "map", "--bins", "10x8", *options)
        for name in ("read", "write", "execute", "write-entropy"):
            self.assertEqual((self.path / f"map-memory-{name}.png").read_bytes()[:4], b"\x89PNG")
        return json.loads((self.path / "map.json").read_text())


class Counts(Case):
    def test_accesses_fall_into_their_cells_and_holes_are_left_out(self) -> None:
        rng = random.Random(9)
        self.start(0, 1, "access")
        expected = {name: [[0.0] * 10 for _ in range(8)] for name in ("read", "write", "execute")}
        for ms in range(0, 1000, 3):
            page = rng.randrange(PAGES)
            kind = rng.choice(["read", "write", "read_write", "execute"])
            address = (LOW[0] + page * PAGE if page < 256 else HIGH[0] + (page - 256) * PAGE) + rng.randrange(PAGE)
            self.at(ms, f"memory_{kind}", address, page_class=1)
            for name in ["read", "write"] if kind == "read_write" else [kind]:
                expected[name][page // 64][ms // 100] += 1
        document = self.map()
        for name, grid in expected.items():
            self.assertEqual(document["grids"][name], grid, name)
            self.assertEqual(document["totals"][name]["shown"], sum(map(sum, grid)))
        self.assertEqual(document["ram"], [list(LOW), list(HIGH)])
        self.assertEqual((document["pages"]["first_address"], document["pages"]["end_address"]), (LOW[0], HIGH[1]))

    def test_addresses_that_are_no_ram_are_counted_apart(self) -> None:
        self.start(0, 1, "access")
        self.at(1, "memory_read", 0xFEC0_0000, 4, page_class=4)
        self.at(2, "memory_read", LOW[0], page_class=1)
        totals = self.map()["totals"]["read"]
        self.assertEqual((totals["records"], totals["outside"], totals["shown"]), (2, 1, 1))

    def test_a_large_page_counts_once_in_all(self) -> None:
        self.stream.time = START
        self.stream.mode(1, "access", [(0, 4 << 20)])
        self.at(1, "memory_write", 0x20_1234, 2 << 20, page_class=2)
        document = self.map()
        self.assertEqual([sum(row) for row in document["grids"]["write"]], [0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25])

    def test_entropy_of_writes(self) -> None:
        self.start(0, 2, "written")
        for entropy in (0.25, 0.75):
            self.at(1, "memory_write", LOW[0], flags=HAS_ENTROPY, entropy=entropy, page_class=1)
        self.at(1, "memory_write", HIGH[0], page_class=1)
        grid = self.map()["grids"]["write_entropy"]
        self.assertEqual((grid[0][0], grid[4][0]), (0.5, None))

    def test_only_a_range_of_addresses(self) -> None:
        self.start(0, 1, "access")
        self.at(1, "memory_read", LOW[0], page_class=1)
        self.at(2, "memory_read", HIGH[0] + 8 * PAGE, page_class=1)
        document = self.map("--address-range", f"{HIGH[0]:#x}-{HIGH[1]}")
        self.assertEqual((document["pages"]["first_address"], document["totals"]["read"]["shown"]), (HIGH[0], 1))
        self.assertIn("no RAM", bad("heatmap", self.store, "--stream", "memory", "--out", self.path / "x", "--address-range", "0x0-0x1000"))

    def test_gaps_are_told(self) -> None:
        self.start(0, 1, "access")
        self.at(100, "gap", self.stream.rows[-1].seq + 1, 7)
        self.at(200, "memory_read", LOW[0], page_class=1)
        document = self.map()
        self.assertEqual((document["lost"], len(document["gaps"])), (7, 1))

    def test_without_regions_holes_stay(self) -> None:
        self.at(1, "memory_read", 0x5000, page_class=1)
        document = self.map()
        self.assertEqual((document["ram_known"], document["ram"]), (False, [[0, 0x6000]]))

    def test_no_memory_stream(self) -> None:
        write_records(self.store, [Row(0, START, "read", 8, PAGE)])
        self.assertIn("no records", bad("heatmap", self.store, "--stream", "memory", "--out", self.path / "map"))


class Looked(Case):
    """Ten columns of 100 ms, eight rows of 64 pages."""

    def looked(self, kind: str, *options: object) -> list[list[float]]:
        return self.map(*options)["grids"][f"looked_{kind}"]

    def whole(self, columns: list[float]) -> list[list[float]]:
        return [columns] * 8

    def test_armed_until_disarmed(self) -> None:
        self.start(0, 1, "access")
        self.arm(250)
        self.arm(400)  # again: nothing changes
        self.arm(600, kind="memory_disarmed")
        self.at(1000 - 1e-6, "memory_read", LOW[0], page_class=1)
        for kind in ("read", "write", "execute"):
            self.assertEqual(self.looked(kind), self.whole([0, 0, 0.5, 1, 1, 1, 0, 0, 0, 0]), kind)

    def test_a_stopped_mode_looks_no_more_and_a_running_one_to_the_end(self) -> None:
        self.start(0, 1, "access")
        self.arm(0)
        self.stop(300, 1, "access")
        self.arm(700)
        self.at(1000 - 1e-6, "memory_read", LOW[0], page_class=1)
        self.assertEqual(self.looked("read"), self.whole([1, 1, 1, 0, 0, 0, 0, 1, 1, 1]))

    def test_mode_written_looks_at_writes_only(self) -> None:
        self.start(0, 2, "written")
        self.arm(0, 2)
        self.at(1000 - 1e-6, "memory_write", LOW[0], page_class=1)
        document = self.map()
        self.assertEqual(document["totals"]["write"]["looked_at"], 1)
        self.assertEqual((document["totals"]["read"]["looked_at"], document["totals"]["execute"]["looked_at"]), (0, 0))

    def test_scans_look_at_what_lies_between_two_of_them(self) -> None:
        self.start(0, 4, "watch")
        half = (HIGH[0], 0x8_0000)  # rows 4 and 5
        for ms in (100, 200, 500):
            self.at(ms, "memory_scanned", *half, 4)
        self.at(700, "memory_scanned", HIGH[0] + 0x8_0000, 0x8_0000, 4)  # once only
        self.at(1000 - 1e-6, "memory_read", LOW[0], flags=BY_SCAN, page_class=1)
        looked = self.looked("read")
        self.assertEqual(looked, [[0] * 10] * 4 + [[0, 1, 1, 1, 1, 0, 0, 0, 0, 0]] * 2 + [[0] * 10] * 2)
        document = json.loads((self.path / "map.json").read_text())
        self.assertEqual(document["grids"]["looked_write"], looked)
        self.assertEqual(document["totals"]["execute"]["looked_at"], 0)

    def test_parts_of_ranges(self) -> None:
        self.start(0, 1, "access")
        self.arm(0)
        self.at(500, "memory_disarmed", LOW[0] + 32 * PAGE, 64 * PAGE, 1)  # half of rows 0 and 1
        self.at(1000 - 1e-6, "memory_read", LOW[0], page_class=1)
        self.assertEqual(self.looked("read"), [[1] * 5 + [0.5] * 5] * 2 + [[1] * 10] * 6)

    def test_hostile_ranges(self) -> None:
        self.start(0, 1, "access")
        for address in (2**64 - 1, 2**64 - 4096, 2**63):
            self.at(1, "memory_armed", address, 2**32 - 1, 1)
            self.at(2, "memory_scanned", address, 2**32 - 1, 9)
            self.at(3, "memory_write", address, 2**32 - 1, page_class=2)
        self.at(1000 - 1e-6, "memory_read", LOW[0], page_class=1)
        self.assertEqual(self.looked("read"), self.whole([0] * 10))


class Info(Case):
    def test_modes_sweeps_coverage_and_gaps(self) -> None:
        self.start(0, 1, "access")
        self.arm(0)
        self.at(100, "memory_read", LOW[0], page_class=1)
        self.stop(500, 1, "access")
        self.start(600, 3, "snapshot")
        self.stream.sweep(1, {address: bytes(PAGE) for first, end in (LOW, HIGH) for address in range(first, end, PAGE)})
        self.stream.add("memory_sweep_begin", 2, 1)
        self.stream.add("gap", self.stream.rows[-1].seq + 1, 9)
        self.at(1000, "memory_page", LOW[0], page_class=1)
        self.stream.write(self.store)
        memory = json.loads(good("info", self.store, "--json"))["boots"][0]["memory"]
        self.assertEqual(memory["modes"], {"access": {"starts": 1, "ran_ns": 500 * MS, "runs_at_end": False},
                                           "snapshot": {"starts": 1, "ran_ns": 400 * MS, "runs_at_end": True}})
        self.assertEqual(memory["looked_at"], {"read": 0.5, "write": 0.5, "execute": 0.5})
        self.assertEqual([(sweep["number"], sweep["complete"], sweep["pages"]) for sweep in memory["sweeps"]], [(1, True, PAGES), (2, False, 1)])
        self.assertEqual(memory["kinds"]["memory_page"], PAGES + 1)
        self.assertEqual((memory["gaps"]["lost_in_sensor"], memory["ram_pages"]), (9, PAGES))
        text = good("info", self.store)
        for part in ("mode access       ran 500 ms, started 1 times\n", "sweeps    2, of these 1 complete", "reads 50.0 %", "9 in the sensor"):
            self.assertIn(part, text)

    def test_a_boot_without_memory_says_nothing_of_it(self) -> None:
        write_records(self.store, [Row(0, START, "read", 8, PAGE)])
        self.assertNotIn("memory", good("info", self.store))
        self.assertEqual(json.loads(good("info", self.store, "--json"))["boots"][0]["memory"]["records"], 0)


if __name__ == "__main__":
    run_program.main()
