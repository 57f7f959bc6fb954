#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the collector says at /metrics is read by Prometheus' own parser and true, and the dashboard asks for nothing else.

usage: dashboard_test.py BUILD_BIN
"""
import json
import re
import sys
import tempfile
import time
import unittest
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from serving import MACHINE, Serving

BIN = Path(sys.argv.pop(1))
PACKAGING = Path(__file__).resolve().parents[1]
RECORDS = 5000


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory(prefix="undercroft-metrics-") as folder:
            serving = Serving(BIN / "undercroft", Path(folder), "--roll-rows", "1000", "--log-format", "json")
            try:
                serving.generate(BIN / "undercroft-generate", RECORDS)
                end = time.monotonic() + 15
                while True:
                    cls.text = serving.metrics()
                    if f"undercroft_collector_records_stored_total {RECORDS}\n" in cls.text or time.monotonic() > end:
                        break
                    time.sleep(0.2)
                cls.exit_code = serving.stop()
            finally:
                serving.process.kill()
                serving.process.wait()
            cls.log = serving.log_lines()
        cls.families = {family.name: family for family in text_string_to_metric_families(cls.text)}
        cls.samples = {(sample.name, sample.labels.get("machine", "")): sample.value
                       for family in cls.families.values() for sample in family.samples}

    def test_counts_are_those_of_the_generator(self) -> None:
        self.assertEqual(self.samples["undercroft_collector_records_stored_total", ""], RECORDS)
        self.assertGreater(self.samples["undercroft_collector_datagrams_received_total", ""], 0)
        self.assertEqual(self.samples["undercroft_collector_bad_tag_total", ""], 0)
        self.assertEqual(self.samples["undercroft_sensor_next_sequence", MACHINE], RECORDS)

    def test_every_loss_counter_is_there(self) -> None:
        header = (PACKAGING.parent / "collector/ingest/counters.hpp").read_text()
        names = re.findall(r"^\s*X\((\w+), (?:true|false),", header, re.MULTILINE)
        self.assertGreater(len(names), 30)
        for name in names:
            self.assertIn((f"undercroft_collector_{name}_total", ""), self.samples)

    def test_types_and_help(self) -> None:
        for name, family in self.families.items():
            self.assertIn(family.type, ("counter", "gauge"), name)
            self.assertTrue(family.documentation, name)
            if family.type == "counter":
                self.assertTrue(all(sample.name.endswith("_total") for sample in family.samples), name)
        names = re.findall(r"^# TYPE (\S+)", self.text, re.MULTILINE)
        self.assertEqual(len(names), len(set(names)), "a metric appears twice")

    def test_build_info(self) -> None:
        (sample,) = self.families["undercroft_build_info"].samples
        self.assertRegex(sample.labels["version"], r"^\d+\.\d+\.\d+$")
        self.assertLess(abs(self.samples["undercroft_start_time_seconds", ""] - time.time()), 120)

    def test_the_log_is_json(self) -> None:
        self.assertEqual(self.exit_code, 0)
        self.assertTrue(any("metrics on http://127.0.0.1:" in line["message"] for line in self.log))
        for line in self.log:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_the_dashboard_asks_for_what_is_there(self) -> None:
        dashboard = json.loads((PACKAGING / "grafana/undercroft.json").read_text())
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        queries += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
        wanted = {name for query in queries for name in re.findall(r"undercroft_\w+", query)}
        self.assertGreater(len(wanted), 20)
        # What sensors report has the names of wire/counters.hpp, whichever of them the generator sent.
        sensor = re.findall(r"^\s*X\(\d+, (\w+),", (PACKAGING.parent / "wire/counters.hpp").read_text(), re.MULTILINE)
        known = set(re.findall(r"^# TYPE (\S+)", self.text, re.MULTILINE))
        known |= {f"undercroft_sensor_{name.removesuffix('_total')}_total" for name in sensor}
        self.assertEqual(sorted(wanted - known), [])

    def test_the_dashboard_is_whole(self) -> None:
        dashboard = json.loads((PACKAGING / "grafana/undercroft.json").read_text())
        identifiers = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(identifiers), len(set(identifiers)))
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertLessEqual(place["x"] + place["w"], 24)
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells


if __name__ == "__main__":
    unittest.main()
