# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The workloads that a detector learns from: their documents, encryptors and labels."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from testbed import model_data
from testbed.behaviour import catalogue, corpus, encryptors, host, lookalikes, volume

SEED = 5
BY_PYTHON = sorted(set(encryptors.RUN) - {"openssl-tool", "gpg-tool", "7z-tool"})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="undercroft-behaviour-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def job(self, entries: list[corpus.Entry], seconds: float = 60) -> encryptors.Job:
        job = encryptors.Job(self.folder / "home", entries, SEED, time.monotonic() + seconds, random.Random(1))
        job.pace = 0.0
        return job


class Documents(Folder):
    def test_the_same_seed_makes_the_same_files(self) -> None:
        first, again, other = (corpus.make(self.folder / name, seed, 25) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
        self.assertEqual(first, again)
        self.assertNotEqual([entry.sha256 for entry in first], [entry.sha256 for entry in other])
        for entry in first:
            path = self.folder / "b" / entry.path
            self.assertEqual((digest(path), path.stat().st_size, int(path.stat().st_mtime)), (entry.sha256, entry.bytes, entry.modified))

    def test_the_list_survives_being_written(self) -> None:
        entries = corpus.make(self.folder / "home", SEED, 5)
        corpus.write_manifest(entries, self.folder / "list.json")
        self.assertEqual(corpus.read_manifest(self.folder / "list.json"), entries)


class Encryptors(Folder):
    def test_other_folders_are_refused(self) -> None:
        entries = corpus.make(self.folder / "home", SEED, 3)
        (self.folder / "home" / corpus.MARKER).unlink()
        with self.assertRaises(PermissionError):
            self.job(entries)

    def test_none_leaves_a_file_as_it_was_and_each_is_named(self) -> None:
        for name in BY_PYTHON:
            if name == "slow":  # the same as in-place, but for its pauses
                continue
            with self.subTest(name):
                shutil.rmtree(self.folder / "home", ignore_errors=True)
                entries = corpus.make(self.folder / "home", SEED, 12)
                job = self.job(entries)
                before = time.time_ns()
                encryptors.RUN[name](job)
                self.assertEqual(set(job.first_writes), {entry.path for entry in entries})
                self.assertTrue(all(before <= at <= time.time_ns() for at in job.first_writes.values()))
                left = {digest(path) for path in (self.folder / "home").rglob("*") if path.is_file()}
                self.assertFalse(left & {entry.sha256 for entry in entries})

    def test_what_is_encrypted_can_be_decrypted_by_openssl(self) -> None:
        entries = corpus.make(self.folder / "home", SEED, 4)
        job = self.job(entries)
        job.method = "aes_256_ctr"
        encryptors.in_place(job)
        key = hashlib.sha256(f"test-bed key {SEED}".encode()).hexdigest()
        for entry in entries:
            nonce = hashlib.sha256(entry.path.encode()).digest()[:16].hex()
            plain = subprocess.run(["openssl", "enc", "-d", "-aes-256-ctr", "-K", key, "-iv", nonce, "-in", str(self.folder / "home" / entry.path) + job.suffix],
                                   capture_output=True, check=True).stdout
            self.assertEqual(hashlib.sha256(plain).hexdigest(), entry.sha256)

    def test_it_stops_when_the_time_is_over(self) -> None:
        entries = corpus.make(self.folder / "home", SEED, 6)
        job = self.job(entries, seconds=-1)
        encryptors.copy_delete(job)
        self.assertEqual(job.first_writes, {})
        self.assertEqual({digest(self.folder / "home" / entry.path) for entry in entries}, {entry.sha256 for entry in entries})

    def test_the_partial_one_leaves_stretches_as_they_were(self) -> None:
        entries = sorted(corpus.make(self.folder / "home", SEED, 40), key=lambda entry: -entry.bytes)
        self.assertGreater(entries[0].bytes, 300_000)
        original = (self.folder / "home" / entries[0].path).read_bytes()
        job = self.job(entries[:1])
        encryptors.partial(job)
        after = (self.folder / "home" / (entries[0].path + job.suffix)).read_bytes()
        self.assertEqual(len(after), len(original))
        blocks = [original[at:at + 4096] == after[at:at + 4096] for at in range(0, len(original) & ~4095, 4096)]
        self.assertTrue(any(blocks) and not all(blocks))


class Catalogue(unittest.TestCase):
    def test_every_name_is_implemented_and_every_implementation_named(self) -> None:
        self.assertEqual(set(catalogue.ENCRYPTORS), set(encryptors.RUN))
        self.assertEqual(set(catalogue.LOOK_ALIKES) | set(catalogue.ORDINARY_USE), set(lookalikes.RUN))

    def test_three_seeds_meet_every_file_system(self) -> None:
        wishes = model_data.plan(range(1, 4), every=False, only=[])
        self.assertEqual(len({wish.name for wish in wishes}), len(wishes))
        for workload in catalogue.WORKLOADS:
            kinds = [wish.file_system for wish in wishes if wish.workload == workload]
            self.assertEqual(sorted(kinds), sorted(kind for kind in catalogue.FILE_SYSTEMS if catalogue.possible(workload, kind)))

    def test_an_unknown_workload_is_refused(self) -> None:
        with self.assertRaises(host.BehaviourError):
            model_data.plan(range(1, 2), every=False, only=["nothing"])
        with self.assertRaises(host.BehaviourError):
            host.Wish("in-place", 1, "fat")


class Labels(Folder):
    """The guest's clock is behind the sensor's by 250 ms here."""

    OFFSET = 250_000_000

    def program(self, place: int) -> Path:
        """Stands for `undercroft export`: writes one CSV into the folder that follows --out."""
        path = self.folder / "program"
        rows = "seq,time_ns,time,kind,lba,bytes,source,entropy,flags,content\\n" \
               f"1,900,x,read,{place},512,1,,0,\\n2,{1000 + self.OFFSET},x,write,{place},512,1,0.1,0,\\n3,9999999,x,write,{place},512,1,0.1,0,\\n"
        path.write_text(f'#!/bin/sh\nwhile [ "$1" != --out ]; do shift; done\nprintf "{rows}" >"$2/records.csv"\n', encoding="ascii")
        path.chmod(0o755)
        return path

    def setUp(self) -> None:
        super().setUp()
        (self.folder / f"store/machine={'a' * 32}/boot={'b' * 32}").mkdir(parents=True)
        self.manifest = self.folder / "corpus.json"
        corpus.write_manifest([corpus.Entry("a/b.txt", 10, 1, "00"), corpus.Entry("c.txt", 20, 1, "11")], self.manifest)
        self.report: dict[str, object] = json.loads(json.dumps({
            "workload": "in-place", "class": "encryptor", "seed": 3, "fs": "ext4", "begin_mark": [990, 1010], "begin_ns": 2000, "end_ns": 9000,
            "first_writes": {"c.txt": 5000, "a/b.txt": 4000}}))

    def test_times_are_by_the_sensors_clock(self) -> None:
        place = host.DISK_BYTES // 512 - volume.TAIL_SECTORS + 8
        found = host.labels(self.program(place), self.folder / "store", self.report, self.manifest)
        self.assertEqual((found["clock_offset_ns"], found["clock_uncertainty_ns"]), (self.OFFSET, 10))
        self.assertEqual((found["begin_ns"], found["first_write_ns"], found["end_ns"]), (2000 + self.OFFSET, 4000 + self.OFFSET, 9000 + self.OFFSET))
        self.assertEqual((found["corpus_files"], found["corpus_bytes"], found["boot"]), (2, 30, "b" * 32))
        self.assertEqual([entry["path"] for entry in found["files"]], ["a/b.txt", "c.txt"])  # type: ignore[index,attr-defined]

    def test_a_store_without_the_mark_has_no_labels(self) -> None:
        with self.assertRaises(host.BehaviourError):
            host.labels(self.program(77), self.folder / "store", self.report, self.manifest)


if __name__ == "__main__":
    unittest.main()
