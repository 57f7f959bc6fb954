# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Stores that are damaged, incomplete or hostile: an error that names the file, never a crash."""
from __future__ import annotations

import json
import random
import tempfile
import unittest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import run_program
from run_program import bad, good, run
from store_writer import BOOT, MACHINE, SCHEMA, Row, record_table, requests, write_records

START = 1_700_000_000 * 10**9
ROWS = [row for at in range(200) for row in requests("write" if at % 2 else "read", START + at * 10**7, at * 64, 4096, at, entropy=0.5)]


class Damage(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.store = self.path / "store"
        self.file = write_records(self.store, ROWS)[0]

    def tearDown(self) -> None:
        self.folder.cleanup()

    def refuse(self, *mentions: str) -> None:
        message = bad("heatmap", self.store, "--out", self.path / "map")
        for text in (self.file.name, *mentions):
            self.assertIn(text, message)

    def rewrite(self, column: str, values: pa.Array | None) -> None:
        table = record_table(ROWS)
        index = table.schema.get_field_index(column)
        pq.write_table(table.remove_column(index) if values is None else table.set_column(index, column, values), self.file)

    def test_wrong_types(self) -> None:
        count = len(ROWS)
        for column in ("seq", "time", "kind", "address", "length", "source", "entropy", "flags"):
            wrong = pa.array([b"x"] * count, pa.binary()) if column != "kind" else pa.array([1] * count, pa.int64())
            self.rewrite(column, wrong)
            self.refuse(f"'{column}'", "it should be")
            self.rewrite(column, None)
            self.refuse(f"'{column}'", "missing")
            nested = pa.array([{"a": 1}] * count)
            self.rewrite(column, nested)
            self.refuse(f"'{column}'", "it should be")
        self.rewrite("time", pa.array([row.time // 1000 for row in ROWS], pa.timestamp("us", tz="UTC")))
        self.refuse("'time'")
        self.rewrite("entropy", pa.array([row.entropy for row in ROWS], pa.float64()))
        self.refuse("'entropy'")

    def test_wrong_values(self) -> None:
        for column, value, mention in (
            ("address", None, "empty"), ("kind", None, "empty"), ("kind", "rewrite", "rewrite"), ("time", -1, "before 1970"),
            ("time", 2**62, "after"), ("seq", 0, "not rising"), ("seq", 10**9, "outside"),
        ):
            values = [getattr(row, column) for row in ROWS]
            values[100] = value
            self.rewrite(column, pa.array(values, SCHEMA.field(column).type))
            self.refuse(f"'{column}'", mention)

    def test_kind_as_plain_string_and_other_dictionaries(self) -> None:
        reference = json.loads(good("heatmap", self.store, "--json", "--out", self.path / "map"))
        kinds = pa.array([row.kind for row in ROWS])
        for array in (kinds, kinds.dictionary_encode(), kinds.dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))):
            self.rewrite("kind", array)
            self.assertEqual(json.loads(good("heatmap", self.store, "--json", "--out", self.path / "map")), reference)

    def test_incomplete_and_damaged_files(self) -> None:
        data = self.file.read_bytes()
        for size in (0, 3, 100, len(data) // 2, len(data) - 1):
            self.file.write_bytes(data[:size])
            self.refuse("damaged")
        pq.write_table(record_table(ROWS[:150]), self.file)
        self.refuse("incomplete")
        pq.write_table(record_table([]), self.file)
        self.refuse("incomplete")

    def test_flipped_bytes_never_crash(self) -> None:
        data = self.file.read_bytes()
        rng = random.Random(5)
        for _ in range(40):
            copy = bytearray(data)
            for _ in range(rng.choice([1, 1, 4, 50])):
                copy[rng.randrange(len(copy)) if rng.random() < 0.5 else -rng.randrange(1, 1500)] = rng.randrange(256)
            self.file.write_bytes(copy)
            run("info", self.store, "--json")

    def test_part_files_are_ignored(self) -> None:
        (self.file.parent / "00000000000000000200.parquet.part").write_bytes(b"half")
        boots = json.loads(good("info", self.store, "--json"))["boots"]
        self.assertEqual((boots[0]["unfinished_files"], boots[0]["records"]), (1, 200))

    def test_names(self) -> None:
        other = self.file.parent / f"{100:020}-{300:020}.parquet"
        other.write_bytes(self.file.read_bytes())
        self.assertIn("overlap", bad("info", self.store))
        other.rename(self.file.parent / "5-6.parquet")
        self.assertIn("5-6.parquet", bad("info", self.store))

    def test_other_formats(self) -> None:
        marker = self.store / "undercroft-store.json"
        for text in ("", "[]", '{"format": 2}', '{"format": "1"}'):
            marker.write_text(text)
            self.assertIn(marker.name, bad("info", self.store))

    def test_info(self) -> None:
        rows = [*ROWS, Row(200, START, "gap", 200, 7, flags=1 << 15), Row(207, START, "gap", 207, 3, flags=0),
                Row(215, START + 5, "trim", 8, 1 << 20), Row(216, START + 6, "flush", 0, 0)]
        self.file.unlink()
        write_records(self.store, rows)
        boot = self.store / f"machine={MACHINE}" / f"boot={BOOT}"
        (boot / "status.json").write_text(json.dumps({"next_sequence": 217, "counters": {"records_made": 217}}))
        (boot / "hello.json").write_text(json.dumps({"sensor_version": "1\u001b[2J", "disks": [{"source": 0, "model": "m"}]}))
        summary = json.loads(good("info", self.store, "--json"))["boots"][0]
        self.assertEqual(summary["gaps"], {"rows": 2, "lost_in_sensor": 3, "lost_in_transit": 7, "unaccounted": 5})
        self.assertEqual(summary["kinds"]["trim"], {"records": 1, "requests": 1, "bytes": 1 << 20})
        self.assertEqual(summary["kinds"]["write"]["bytes"], 100 * 4096)
        self.assertEqual((summary["first_ns"], summary["last_ns"]), (START, START + 199 * 10**7))
        text = good("info", self.store)
        self.assertNotIn("\u001b", text)
        self.assertIn("records_made", text)
        (boot / "hello.json").write_text('{"disks": 5}')
        good("info", self.store)


if __name__ == "__main__":
    run_program.main()
