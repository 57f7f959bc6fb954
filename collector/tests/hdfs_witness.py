#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Stores on a real HDFS (Apache Hadoop, a NameNode and two DataNodes): uploaded byte for byte, in order, and caught up with
after everything that happens to a cluster.

usage: hdfs_witness.py BUILD_BIN [unittest options]; the repository's root must be the working directory.
Ends with 77 (skipped) where Hadoop is not installed (make setup-hdfs).
"""
from __future__ import annotations

import hashlib
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, os.getcwd())
from collector.tests.hdfs_push import BOOT, MACHINE, MIB, Push, closed_files, make_store  # noqa: E402
from testbed.hdfs import Hdfs, HdfsError, hadoop_folder  # noqa: E402

BIN = Path()
SKIPPED = 77


class HdfsWitness(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.work = tempfile.TemporaryDirectory(prefix="undercroft-hdfs-")
        cls.hdfs = Hdfs(Path(cls.work.name) / "hdfs")
        cls.hdfs.__enter__()
        cls.numbers = iter(range(100))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.hdfs.stop_all()
        cls.work.cleanup()

    def setUp(self) -> None:
        name = f"t{next(self.numbers)}"
        self.folder = Path(self.work.name) / name
        self.folder.mkdir()
        self.store = self.folder / "store"
        self.remote = f"/{name}/copy"
        self.url = self.hdfs.web_url + self.remote

    def tearDown(self) -> None:
        for node in [self.hdfs.name_node, *self.hdfs.data_nodes]:
            if not node.running():
                self.hdfs.start(node)
        self.hdfs.wait_healthy()

    def start_push(self) -> Push:
        """With HDFS's superuser; killed at the test's end if it still runs then."""
        push = Push(BIN, self.store, self.url, "--user", self.hdfs.user)
        self.addCleanup(push.close)
        return push

    def push(self, *options: object, wanted: int = 0) -> tuple[str, str]:
        code, out, err = Push(BIN, self.store, self.url, "--user", self.hdfs.user, *options).result()
        self.assertEqual(code, wanted, out + err)
        return out, err

    def check_copy(self) -> dict[str, dict[str, object]]:
        """The copy is the store, byte for byte, and nothing else."""
        there = self.hdfs.list(self.remote)
        local = closed_files(self.store)
        self.assertEqual(sorted(there), sorted(local))
        for name, path in local.items():
            self.assertEqual(hashlib.sha256(self.hdfs.read(f"{self.remote}/{name}")).digest(), hashlib.sha256(path.read_bytes()).digest(), name)
        return there

    def wait_for_upload(self, push: Push, files: int) -> None:
        """Until so many files have their final names, and not all."""
        end = time.monotonic() + 120
        while push.uploaded() < files:
            self.assertIsNone(push.process.poll(), "the push ended too early for this test")
            self.assertLess(time.monotonic(), end, "no progress")
            time.sleep(0.01)

    def test_whole_and_in_order(self) -> None:
        make_store(self.store, [3 * MIB + 17, 0, 5000], 20)
        out, _ = self.push("--verify", "checksum", "--block-mb", "1", "--file-permission", "600", "--folder-permission", "711")
        self.assertIn("uploaded 25 files", out)
        there = self.check_copy()
        for status in there.values():
            self.assertEqual((status["permission"], status["replication"], status["blockSize"]), ("600", 2, MIB))
        folders = self.hdfs.request("GET", self.remote + "/content", "LISTSTATUS")["FileStatuses"]["FileStatus"]
        self.assertEqual({status["permission"] for status in folders}, {"711"})
        content = max(status["modificationTime"] for name, status in there.items() if name.startswith("content/"))
        records = min(status["modificationTime"] for name, status in there.items() if "/stream=" in name)
        self.assertLessEqual(content, records)
        self.assertIn("uploaded 0 files", self.push()[0])
        # Without the list of uploads, what is there is recognised; what is not the same is replaced.
        for log in (self.store / "hdfs").iterdir():
            log.unlink()
        victim = next(iter(sorted(self.store.glob("machine=*/**/*.parquet"))))
        victim.write_bytes(bytes(reversed(victim.read_bytes())))
        out, _ = self.push("--verify", "checksum")
        self.assertIn("22 were there already", out)
        self.check_copy()

    def test_replication_and_changed_json(self) -> None:
        make_store(self.store, [100], 1)
        self.push("--replication", "1")
        self.assertEqual({status["replication"] for status in self.check_copy().values()}, {1})
        hello = next(self.store.glob("machine=*/boot=*/hello.json"))
        hello.write_text('{"sensor_version": "2"}\n')
        self.assertIn("uploaded 1 files", self.push()[0])
        self.check_copy()

    def test_speed(self) -> None:
        make_store(self.store, [32 * MIB] * 3, 0)
        out, _ = self.push()
        print("speed:", out.strip())
        found = re.search(r"\(([\d.]+) MB/s\)", out)
        self.assertTrue(found and float(found[1]) > 1, out)

    def test_data_node_killed_during_upload(self) -> None:
        make_store(self.store, [16 * MIB] * 6, 10)
        push = self.start_push()
        self.wait_for_upload(push, 4)
        self.hdfs.kill(self.hdfs.data_nodes[0])
        code, out, err = push.result()
        self.assertEqual(code, 0, out + err)
        print("DataNode killed:", out.strip())
        self.check_copy()

    def test_name_node_killed_and_restarted(self) -> None:
        make_store(self.store, [50_000] * 10, 40)
        push = self.start_push()
        self.wait_for_upload(push, 12)
        self.hdfs.kill(self.hdfs.name_node)
        time.sleep(2)
        self.assertIsNone(push.process.poll())
        self.hdfs.start(self.hdfs.name_node)
        code, out, err = push.result()
        self.assertEqual(code, 0, out + err)
        print("NameNode killed:", out.strip())
        self.assertIn("works again", err)
        self.check_copy()

    def test_away_at_start_then_caught_up(self) -> None:
        make_store(self.store, [1000] * 5, 10)
        self.hdfs.stop(self.hdfs.name_node)
        _, err = self.push("--give-up", "2", wanted=1)
        self.assertIn("17 files are not uploaded", err)
        push = self.start_push()
        time.sleep(2)
        self.hdfs.start(self.hdfs.name_node)
        code, out, err = push.result()
        self.assertEqual(code, 0, out + err)
        self.check_copy()

    def test_frozen_and_thawed(self) -> None:
        make_store(self.store, [50_000] * 5, 30)
        push = self.start_push()
        self.wait_for_upload(push, 5)
        for node in [self.hdfs.name_node, *self.hdfs.data_nodes]:
            self.hdfs.pause(node)
        time.sleep(3)
        for node in [self.hdfs.name_node, *self.hdfs.data_nodes]:
            self.hdfs.resume(node)
        code, out, err = push.result()
        self.assertEqual(code, 0, out + err)
        self.check_copy()

    def test_full_and_given_room(self) -> None:
        make_store(self.store, [MIB] * 12, 5)
        self.hdfs.request("PUT", self.remote, "MKDIRS")
        # HDFS reserves a whole block of 8 MiB for each copy while it writes.
        self.hdfs.request("PUT", self.remote, "SETQUOTA", storagespacequota=22 * MIB, namespacequota=(1 << 63) - 1)
        _, err = self.push("--give-up", "3", wanted=1)
        self.assertIn("Quota", err)
        self.hdfs.request("PUT", self.remote, "SETQUOTA", storagespacequota=1 << 40, namespacequota=(1 << 63) - 1)
        self.push()
        self.check_copy()

    def test_upload_killed_many_times(self) -> None:
        make_store(self.store, [100_000] * 10, 20)
        rng = random.Random(4)
        for kill in range(8):
            push = self.start_push()
            end = time.monotonic() + rng.uniform(0.02, 0.3)
            while time.monotonic() < end or (kill > 3 and push.uploaded() < 3 * (kill - 3) and push.process.poll() is None):
                time.sleep(0.01)
            push.process.send_signal(signal.SIGKILL)
            push.result()
            try:
                names = list(self.hdfs.list(self.remote))
            except HdfsError:
                continue  # killed before it made the folder
            local = closed_files(self.store)
            for name in names:  # a final name means a whole file
                if not name.rpartition("/")[2].startswith("."):
                    self.assertEqual(len(self.hdfs.read(f"{self.remote}/{name}")), local[name].stat().st_size)
        self.push()
        self.check_copy()

    def test_collect_copies_while_it_collects(self) -> None:
        """A real collector with a generator, HDFS away in the middle; afterwards the copy is the store."""
        (self.folder / "key").write_text(secrets.token_hex(32) + "\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        ready, metrics = self.folder / "ready", self.folder / "metrics.json"
        collector = subprocess.Popen(
            [BIN / "undercroft", "collect", "--store", self.store, "--key-file", self.folder / "key", "--listen", f"127.0.0.1:{port}",
             "--roll-seconds", "0.5", "--ready-file", ready, "--metrics-file", metrics, "--hdfs-url", self.url, "--hdfs-user",
             self.hdfs.user, "--hdfs-verify", "checksum", "--hdfs-drain", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while not ready.exists():
                self.assertIsNone(collector.poll())
                time.sleep(0.05)
            generator = subprocess.Popen(
                [BIN / "undercroft-generate", "--to", f"127.0.0.1:{port}", "--key-file", self.folder / "key", "--machine", MACHINE,
                 "--boot", BOOT, "--records", "16000", "--rate", "2000", "--content"], stdout=subprocess.PIPE, text=True)
            time.sleep(2)
            self.hdfs.kill(self.hdfs.name_node)
            time.sleep(2)
            self.hdfs.start(self.hdfs.name_node)
            summary = json.loads(generator.communicate(timeout=60)[0])
            self.assertTrue(summary["complete"])
            self.hdfs.wait_healthy()
            collector.send_signal(signal.SIGTERM)
            out, err = collector.communicate(timeout=120)
        finally:
            collector.kill()
        self.assertEqual(collector.returncode, 0, out + err)
        self.assertIn("works again", err)
        figures = json.loads(metrics.read_text())
        self.assertEqual(figures["hdfs_files_waiting"], 0, err)
        self.assertGreater(figures["hdfs_files_uploaded"], 10)
        self.check_copy()


class TlsWitness(unittest.TestCase):
    """swebhdfs: NameNode and DataNode answer by TLS only."""

    def test_swebhdfs(self) -> None:
        with tempfile.TemporaryDirectory(prefix="undercroft-hdfs-") as work:
            store = make_store(Path(work) / "store", [MIB], 3)
            with Hdfs(Path(work) / "hdfs", data_nodes=1, replication=1, tls=True) as hdfs:
                url = f"{hdfs.web_url}/copy"
                code, _, err = Push(BIN, store, url, "--user", hdfs.user, "--give-up", "1").result()
                self.assertEqual(code, 1)
                self.assertIn("certificate", err)
                code, _, err = Push(BIN, store, url.replace("swebhdfs", "webhdfs"), "--user", hdfs.user, "--give-up", "1").result()
                self.assertEqual(code, 1, err)
                code, out, err = Push(BIN, store, url, "--user", hdfs.user, "--ca-file", hdfs.ca_file, "--verify", "checksum").result()
                self.assertEqual(code, 0, out + err)
                for name, path in closed_files(store).items():
                    self.assertEqual(hdfs.read(f"/copy/{name}"), path.read_bytes())


def main() -> int:
    global BIN
    BIN = Path(sys.argv.pop(1)).resolve()
    if hadoop_folder() is None:
        print("skipped: Hadoop is not installed (make setup-hdfs)")
        return SKIPPED
    return 0 if unittest.main(exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
