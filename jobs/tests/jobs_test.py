# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The Spark jobs over a store in a real HDFS, with several workers, give the numbers of the C++ program on the same store.

usage: jobs_test.py BUILD_BIN; the repository's root must be the working directory.
Ends with 77 (skipped) where Hadoop or PySpark is not installed (make setup-hdfs).
"""
from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path[:0] = [os.getcwd(), str(Path(os.getcwd()) / "analysis" / "tests")]
from random_rows import SECOND, START, random_rows  # noqa: E402
from store_writer import BOOT, MACHINE, write_records  # noqa: E402
from testbed.hdfs import LOOPBACK, Hdfs, hadoop_folder, spark_python  # noqa: E402

BIN = Path()
SKIPPED = 77
OTHER_BOOT = "0" * 32  # looks like a number
MONTH = 30 * 86400 * SECOND
FAR = 1 << 40


def program(*arguments: object) -> str:
    return subprocess.run([BIN / "undercroft", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class Jobs(unittest.TestCase):
    """One cluster, one store, one Spark for all; the tests look at what they left."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.work = tempfile.TemporaryDirectory(prefix="undercroft-jobs-")
        cls.path = Path(cls.work.name)
        cls.hdfs = Hdfs(cls.path / "hdfs")
        cls.hdfs.__enter__()
        try:
            cls.prepare()
        except BaseException:
            cls.hdfs.stop_all()
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        cls.hdfs.stop_all()
        cls.work.cleanup()

    @classmethod
    def prepare(cls) -> None:
        cls.store = cls.path / "store"
        write_records(cls.store, random_rows(1, 500, FAR, MONTH), per_file=700)
        write_records(cls.store, random_rows(2, 60, FAR, MONTH), boot=OTHER_BOOT)
        print(program("hdfs", "push", cls.store, cls.hdfs.web_url + "/store", "--user", cls.hdfs.user).strip())
        # A compacted file that was put there before the files that it replaces were deleted.
        stream = next((cls.store / f"machine={MACHINE}" / f"boot={OTHER_BOOT}" / "stream=storage").iterdir())
        whole = next(stream.iterdir())
        part = pq.ParquetFile(whole).read().slice(0, 10)
        last = part["seq"][-1].as_py() + (part["length"][-1].as_py() - 1 if part["kind"][-1].as_py() == "gap" else 0)
        doubled = cls.path / "doubled"
        target = doubled / stream.relative_to(cls.store) / f"{0:020}-{last:020}.parquet"
        target.parent.mkdir(parents=True)
        (doubled / "undercroft-store.json").write_text('{"format": 1}')
        pq.write_table(part, target)
        program("hdfs", "push", doubled, cls.hdfs.web_url + "/store", "--user", cls.hdfs.user)
        labels = cls.path / "labels.csv"
        labels.write_text(f"machine,boot,from_ns,to_ns,label\n{MACHINE},{BOOT},{START},{START + 60 * SECOND},benign\n"
                          f",{BOOT},{START + 60 * SECOND},,Ransomware\n")
        remote, results = cls.hdfs.uri + "/store", cls.hdfs.uri + "/results"
        commands = [["activity", remote, "--out", f"{results}/activity"],
                    ["features", remote, "--window", "10s", "--step", "1s", "--out", f"{results}/features"],
                    ["training_set", remote, "--labels", f"file://{labels}", "--format", "csv", "--out", f"{results}/training"],
                    ["heatmap", remote, "--boot", BOOT[:4], "--from-ns", str(START + SECOND), "--to-ns", str(START + 200 * SECOND),
                     "--lba-range", f"{FAR + 1001}-{FAR + 900_000}", "--bins", "50x40", "--out", str(cls.path / "heatmap.json")]]
        cls.submit(commands)

    @classmethod
    def submit(cls, commands: list[list[str]]) -> None:
        """Two workers with an executor process each."""
        file = cls.path / "commands.json"
        file.write_text(json.dumps(commands))
        python = spark_python()
        assert python is not None
        done = subprocess.run(
            [python.with_name("spark-submit"), "--master", "local-cluster[2,1,1024]", "--conf", "spark.ui.enabled=false",
             "--conf", f"spark.driver.host={LOOPBACK}", "--conf", "spark.executor.memory=512m", "--conf", "spark.sql.shuffle.partitions=2",
             "--conf", "spark.sql.adaptive.enabled=true", "--driver-java-options", "-XX:TieredStopAtLevel=1",
             "jobs/tests/run_jobs.py", file],
            env={**os.environ, "SPARK_LOCAL_IP": LOOPBACK, "PATH": f"{python.parent}:{os.environ['PATH']}", "HADOOP_USER_NAME": cls.hdfs.user,
                 "PYTHONDONTWRITEBYTECODE": "1", "SPARK_WORKER_DIR": str(cls.path / "work")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=380)
        if done.returncode != 0:
            raise AssertionError(done.stdout[-6000:])

    def parquet(self, name: str) -> list[dict[str, object]]:
        """All rows of a result in HDFS."""
        files = [file for file in sorted(self.hdfs.list(f"/results/{name}")) if file.endswith(".parquet")]
        return pa.concat_tables([pq.read_table(io.BytesIO(self.hdfs.read(f"/results/{name}/{file}"))) for file in files]).to_pylist()

    def test_features_are_those_of_the_program(self) -> None:
        program("features", self.store, "--window", "10s", "--step", "1s", "--format", "parquet", "--out", self.path / "features.parquet")
        wanted = pq.read_table(self.path / "features.parquet").to_pylist()
        key = lambda row: (row["machine"], row["boot"], row["window_start_ns"])  # noqa: E731
        got = sorted(self.parquet("features"), key=key)
        self.assertGreater(len(wanted), 100)
        self.assertEqual([key(row) for row in got], [key(row) for row in sorted(wanted, key=key)])
        for row, want in zip(got, sorted(wanted, key=key)):
            self.assertEqual(set(row), set(want))
            for name, value in want.items():
                if isinstance(value, float):
                    self.assertAlmostEqual(row[name], value, delta=1e-9 * abs(value), msg=name)
                else:
                    self.assertEqual(row[name], value, name)

    def test_heat_map_is_that_of_the_program(self) -> None:
        program("heatmap", self.store, "--boot", BOOT, "--from", f"{(START + SECOND) // SECOND}.{(START + SECOND) % SECOND:09}",
                "--to", f"{(START + 200 * SECOND) // SECOND}.{START % SECOND:09}", "--lba-range", f"{FAR + 1001}-{FAR + 900_000}",
                "--bins", "50x40", "--out", self.path / "map")
        wanted = json.loads((self.path / "map.json").read_text())
        got = json.loads((self.path / "heatmap.json").read_text())
        for name in ("from_ns", "to_ns", "cell_ns", "columns"):
            self.assertEqual(got["time"][name], wanted["time"][name])
        self.assertEqual((got["lba"]["cell_sectors"], got["lba"]["rows"]), (wanted["lba"]["cell_sectors"], wanted["lba"]["rows"]))
        for kind in ("read", "write"):
            self.assertGreater(wanted["totals"][kind]["shown"], 100)
            self.assertEqual(got["grids"][kind], wanted["grids"][kind])
            self.assertEqual(got["totals"][kind], {name: wanted["totals"][kind][name] for name in got["totals"][kind]})
        cells = [(mine, theirs) for line, want in zip(got["grids"]["write_entropy"], wanted["grids"]["write_entropy"]) for mine, theirs in zip(line, want)]
        self.assertEqual(len(cells), wanted["time"]["columns"] * wanted["lba"]["rows"])
        self.assertTrue(any(theirs is not None for _, theirs in cells))
        for mine, theirs in cells:
            self.assertEqual(mine is None, theirs is None)
            if theirs is not None:
                self.assertAlmostEqual(mine, theirs, delta=1e-5)  # the program writes rounded entropies

    def test_activity_is_that_of_the_program(self) -> None:
        days = self.parquet("activity")
        self.assertEqual({(row["machine"], row["boot"]) for row in days}, {(MACHINE, BOOT), (MACHINE, OTHER_BOOT)})
        self.assertGreaterEqual(len(days), 4)  # a month lies between two parts of each boot
        for boot in json.loads(program("info", self.store, "--json"))["boots"]:
            mine = [row for row in days if row["boot"] == boot["boot"]]
            for kind in ("read", "write", "flush", "trim"):
                for what in ("records", "requests", "bytes"):
                    self.assertEqual(sum(row[f"{kind}_{what}"] for row in mine), boot["kinds"][kind][what], f"{kind} {what}")
            self.assertEqual(sum(row["lost_records"] for row in mine), boot["gaps"]["lost_in_sensor"] + boot["gaps"]["lost_in_transit"])

    def test_training_set(self) -> None:
        name = next(name for name in self.hdfs.list("/results/training") if name.endswith(".csv"))
        lines = list(csv.DictReader(io.StringIO(self.hdfs.read(f"/results/training/{name}").decode())))
        features = {row["window_start_ns"]: row for row in self.parquet("features") if row["boot"] == BOOT}
        end = START + 60 * SECOND
        wanted = {at: "benign" if at + 10 * SECOND <= end else "Ransomware" for at in features if at + 10 * SECOND <= end or at >= end}
        self.assertEqual({int(line["window_start_ns"]): line["label"] for line in lines}, wanted)
        self.assertEqual(set(wanted.values()), {"benign", "Ransomware"})
        for line in lines:
            source = features[int(line["window_start_ns"])]
            entropy = -1.0 if source["write_entropy"] is None else source["write_entropy"]
            self.assertEqual((float(line["write_entropy"]), float(line["read_bytes_per_s"])), (entropy, source["read_bytes_per_s"]))


def main() -> int:
    global BIN
    BIN = Path(sys.argv.pop(1)).resolve()
    if hadoop_folder() is None or spark_python() is None:
        print("skipped: Hadoop or PySpark is not installed (make setup-hdfs)")
        return SKIPPED
    return 0 if unittest.main(exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
