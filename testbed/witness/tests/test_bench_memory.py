# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The memory bench's sums on made-up figures."""
from __future__ import annotations

import unittest
import xml.etree.ElementTree as xml

from bench import memory
from bench.chart import Chart, Series, nice_ticks

MODES = ("access", "written", "snapshot", "watch")


def figures(uptime: float, made: int, exits: int) -> memory.Entry:
    return {"uptime": uptime, "memory": {"modes": {mode: {"records": made, "pages": 3 * made} for mode in MODES}}, "counters": {"exits_npf": exits, "exits_msr[1]": exits, "records_made": 7}}


def entry(stream_s: float, rate: float, made: int) -> memory.Entry:
    return {"stream": {"mean_total": stream_s}, "set": {"process": rate, "pipe": rate * 4}, "before": figures(10, 100, 0),
            "between": figures(14, 100 + made, made), "after": figures(20, 100 + 2 * made, 5 * made)}


class Sums(unittest.TestCase):
    ENTRIES = {"off": entry(1.0, 100, 0), "access-both-100": entry(2.0, 50, 4000), "access-both-1000": entry(1.04, 99, 400),
               "access-both-3000": entry(1.01, 100, 40), "written-1": entry(1.4, 80, 100), "snapshot": entry(1.1, 80, 5000),
               "watch-5": entry(1.05, 95, 40000), "watch-10": {"refused": True}, "off-again": entry(1.0, 100, 0)}

    def test_keys(self) -> None:
        found = memory.points(self.ENTRIES)
        self.assertNotIn("watch-10", found)
        result = memory.keys(self.ENTRIES, found)
        self.assertEqual(result, {
            "mem_2a_best_pages_per_s_under_5pct": 100.0, "mem_exits_per_record_2a": 2.0, "mem_watch_pages_per_s_at_5pct": 30000.0,
            "mem_exits_per_record_watch": 2.0, "mem_watch_gain_at_5pct": 300.0, "mem_written_pages_stream_ratio": 1.4,
            "mem_snapshot_system_ratio": 1.25, "mem_snapshot_mb_per_s": round(2 * 15000 * 4096 / 1e6 / 10, 4)})

    def test_no_point_is_cheap_enough(self) -> None:
        entries = {name: self.ENTRIES[name] for name in ("off", "access-both-100", "watch-5")}
        self.assertNotIn("mem_watch_gain_at_5pct", memory.keys(entries, memory.points(entries)))

    def test_settings_name_each_mode(self) -> None:
        self.assertEqual({line.split()[1] for line in memory.settings()}, {"off", *MODES})
        self.assertEqual(len({line.split()[0] for line in memory.settings()}), len(memory.settings()))


class Charts(unittest.TestCase):
    def test_ticks(self) -> None:
        self.assertEqual(nice_ticks(0), [0, 1])
        self.assertEqual(nice_ticks(9), [0, 2, 4, 6, 8, 10])
        for most in (0.013, 1, 7, 49, 51, 123456):
            ticks = nice_ticks(most)
            self.assertTrue(4 <= len(ticks) <= 6 and ticks[-2] < most <= ticks[-1], (most, ticks))

    def test_svg_is_well_formed_and_has_each_point(self) -> None:
        chart = Chart("a < b", "n", [Series("s & t", [(1, 5), (10, 7)], True), Series("u", [(1, 2.5)], False), Series("none", [], True)])
        root = xml.fromstring(chart.svg())
        self.assertEqual(len(root.findall("{*}circle")), 3)
        self.assertEqual(len(root.findall("{*}polyline")), 2)


if __name__ == "__main__":
    unittest.main()
