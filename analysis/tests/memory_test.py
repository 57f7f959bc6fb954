# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The memory stream: RanSMAP's files, and snapshots as files for other tools, against bytes put together here."""
from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

import run_program
from export_test import shannon
from run_program import bad, good
from store_writer import HAS_CONTENT, HAS_ENTROPY, ZERO_CONTENT, MemoryStream, Row, write_records

START = 1_700_000_000 * 10**9
PAGE = 4096
LOW, HIGH = (0x1000, 0x6000), (0x1_0000_0000, 0x1_0000_4000)


def pages_of(*ranges: tuple[int, int]) -> list[int]:
    return [address for first, end in ranges for address in range(first, end, PAGE)]


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        self.store = self.path / "store"
        self.rng = random.Random(4)

    def memory(self, *ranges: tuple[int, int]) -> dict[int, bytes]:
        """Random pages; the second one is zeros, the third equals the first."""
        addresses = pages_of(*ranges)
        memory = {address: self.rng.randbytes(PAGE) for address in addresses}
        memory[addresses[1]] = bytes(PAGE)
        memory[addresses[2]] = memory[addresses[0]]
        return memory

    def export(self, *options: object) -> bytes:
        good("export", self.store, "--out", self.path / "dump", *options)
        return (self.path / "dump").read_bytes()

    def sidecar(self) -> dict[str, object]:
        return json.loads((self.path / "dump.json").read_text())


def lime(memory: dict[int, bytes], *ranges: tuple[int, int]) -> bytes:
    """LiME's format, from its description: "EMiL", version 1, first and last address, 8 reserved bytes, the bytes."""
    return b"".join(struct.pack("<4sIQQ8x", b"EMiL", 1, first, end - 1) + b"".join(memory[a] for a in pages_of((first, end)))
                    for first, end in ranges)


class Dump(Case):
    def test_lime_of_a_full_sweep(self) -> None:
        memory = self.memory(LOW, HIGH)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [HIGH, LOW])
        stream.sweep(1, dict(self.rng.sample(list(memory.items()), len(memory))))
        stream.write(self.store, per_file=4)
        data = self.export("--format", "lime")
        self.assertEqual(data, lime(memory, LOW, HIGH))
        about = self.sidecar()
        self.assertEqual((about["regions"], about["missing"], about["sha256"]),
                         ([list(LOW), list(HIGH)], [], hashlib.sha256(data).hexdigest()))

    def test_elf_core(self) -> None:
        memory = self.memory(LOW, HIGH)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW, HIGH])
        stream.sweep(1, memory, consistent=True)
        stream.write(self.store)
        data = self.export("--format", "elf")
        self.assertEqual(data[:20], b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 4, 62))  # core file, x86-64
        table, entry_bytes, entries = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
        found = {}
        for number in range(entries):
            kind, _, offset, virtual, physical, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", data, table + number * entry_bytes)
            self.assertEqual((kind, virtual, in_file, offset % PAGE), (1, physical, in_memory, 0))
            found[(physical, physical + in_memory)] = data[offset:offset + in_file]
        self.assertEqual(found, {part: b"".join(memory[a] for a in pages_of(part)) for part in (LOW, HIGH)})
        if shutil.which("readelf"):
            text = subprocess.run(["readelf", "-lW", self.path / "dump"], capture_output=True, text=True, check=True)
            self.assertEqual((text.stdout.count("LOAD"), text.stderr), (2, ""))

    def test_padded(self) -> None:
        memory = self.memory(LOW)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW])
        stream.sweep(1, memory)
        stream.write(self.store)
        self.assertEqual(self.export("--format", "padded"), bytes(LOW[0]) + b"".join(memory[a] for a in pages_of(LOW)))

    def test_incremental_sweeps_lie_on_top_of_the_full_one(self) -> None:
        states = [self.memory(LOW, HIGH)]
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW, HIGH])
        stream.sweep(1, states[0])
        for number in (2, 3):
            changed = {a: self.rng.randbytes(PAGE) for a in self.rng.sample(list(states[0]), 3)}
            changed[HIGH[0]] = bytes(PAGE) if number == 2 else self.rng.randbytes(PAGE)
            stream.add("memory_write", LOW[0] + 8, PAGE, 1, page_class=1)  # of another mode
            stream.sweep(number, changed, incremental=True)
            states.append({**states[-1], **changed})
        stream.write(self.store, per_file=7)
        for number, state in enumerate(states, 1):
            self.assertEqual(self.export("--format", "lime", "--sweep", number), lime(state, LOW, HIGH), number)
        self.assertEqual(self.export("--format", "lime"), lime(states[-1], LOW, HIGH))

    def test_a_new_start_does_not_build_on_the_sweeps_before(self) -> None:
        first, second = self.memory(LOW), self.memory(LOW)
        stream = MemoryStream(START)
        for memory in (first, second):
            stream.mode(3, "snapshot", [LOW])
            stream.sweep(1, memory)
        stream.write(self.store)
        self.assertEqual(self.export("--format", "lime", "--sweep", 1), lime(second, LOW))

    def test_only_a_range_was_asked_for(self) -> None:
        memory = self.memory(LOW)
        part = (0x2000, 0x5000)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW, HIGH], part[0], part[1] - part[0])
        stream.sweep(1, {a: memory[a] for a in pages_of(part)})
        stream.write(self.store)
        self.assertEqual(self.export("--format", "lime"), lime(memory, part))

    def test_missing_pages_are_refused_or_named(self) -> None:
        memory = self.memory(LOW, HIGH)
        there = {a: data for a, data in memory.items() if a not in (0x3000, 0x4000, 0x1_0000_3000)}
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW, HIGH])
        stream.sweep(1, there)
        stream.write(self.store)
        message = bad("export", self.store, "--out", self.path / "dump", "--format", "lime")
        for text in ("3 of 9 pages", "0x3000 to 0x4fff", "0x100003000 to 0x100003fff", "--allow-missing"):
            self.assertIn(text, message)
        self.assertFalse((self.path / "dump").exists())
        data = self.export("--format", "lime", "--allow-missing")
        self.assertEqual(data, lime({**dict.fromkeys(memory, bytes(PAGE)), **there}, LOW, HIGH))
        self.assertEqual(self.sidecar()["missing"], [[0x3000, 0x5000], [0x1_0000_3000, 0x1_0000_4000]])

    def test_lost_records_and_open_sweeps_are_refused(self) -> None:
        memory = self.memory(LOW)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW])
        stream.sweep(1, memory)
        stream.add("memory_sweep_begin", 2, 1)
        stream.page(LOW[0], self.rng.randbytes(PAGE))
        stream.add("gap", stream.rows[-1].seq + 1, 2)
        stream.add("memory_sweep_end", 2, 3)
        stream.add("memory_sweep_begin", 3, 1)
        stream.write(self.store)
        self.assertIn("2 records lost", bad("export", self.store, "--out", self.path / "dump", "--format", "elf", "--sweep", 2))
        self.assertIn("no end", bad("export", self.store, "--out", self.path / "dump", "--format", "elf", "--sweep", 3))
        self.assertEqual(self.export("--format", "lime"), lime(memory, LOW))  # the last complete one
        message = bad("export", self.store, "--out", self.path / "dump", "--format", "lime", "--sweep", 9)
        self.assertIn("sweep 2 (incremental, live): 1 pages, not complete", message)

    def test_a_block_that_the_store_lacks_is_missing(self) -> None:
        memory = self.memory(LOW)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW])
        stream.sweep(1, memory)
        stream.blocks.remove(memory[0x4000])
        stream.write(self.store)
        self.assertIn("0x4000 to 0x4fff", bad("export", self.store, "--out", self.path / "dump", "--format", "lime"))

    def test_a_boot_without_snapshots(self) -> None:
        write_records(self.store, [Row(0, START, "read", 8, PAGE)])
        self.assertIn("no snapshots", bad("export", self.store, "--out", self.path / "dump", "--format", "lime"))

    def test_hostile_regions(self) -> None:
        memory = self.memory(LOW)
        stream = MemoryStream(START)
        stream.mode(3, "snapshot", [LOW])
        stream.add("memory_region", 2**64 - 4096, 2**32 - 1)
        stream.add("memory_region", 0x1234, 17)
        stream.sweep(1, {**memory, 0x7777_0000: bytes(PAGE), 2**64 - 1: bytes(PAGE)})
        stream.write(self.store)
        self.assertEqual(self.export("--format", "lime"), lime(memory, LOW))
        self.assertEqual(self.sidecar()["pages_outside_ram"], 2)


class Ransmap(Case):
    def test_six_files(self) -> None:
        page = b"undercroft " * 372 + bytes(4)
        stream = MemoryStream(START)
        stream.mode(1, "access", [LOW])
        stream.add("memory_read", 0x1008, PAGE, page_class=1)
        stream.add("memory_execute", 0x20_0000, 2 << 20, 1, page_class=2)
        stream.add("memory_write", 0x1_0000_0010, PAGE, page_class=1, flags=HAS_ENTROPY, entropy=0.5)
        stream.add("memory_write", 0x2000, PAGE, page_class=1, flags=HAS_CONTENT | HAS_ENTROPY, entropy=0.5, content=hashlib.sha256(page).digest())
        stream.add("memory_write", 0x3000, PAGE, page_class=1, flags=ZERO_CONTENT)
        stream.add("memory_write", 0x3000, PAGE, page_class=1)
        stream.add("memory_write", 0xFEC0_0010, 4, page_class=4)
        stream.add("memory_read_write", 0x4004, PAGE, page_class=1, flags=HAS_ENTROPY, entropy=0.0)
        stream.add("memory_read", 0xFEC0_0000, 4, page_class=4)
        stream.add("memory_disarmed", 0, PAGE, 1)
        stream.blocks.append(page)
        stream.write(self.store)
        write_records(self.store, [Row(0, START, "read", 8, 512)])
        good("export", self.store, "--out", self.path / "out", "--format", "ransmap")
        files = {file.name: file.read_text() for file in (self.path / "out").iterdir()}
        self.assertEqual(set(files), {"ata_read.csv", "ata_write.csv", "mem_read.csv", "mem_write.csv", "mem_readwrite.csv", "mem_exec.csv"})
        self.assertEqual(files["mem_read.csv"], "1700000000,      3000,4104,0,-1,1\n1700000000,     11000,4273995776,0,-1,4\n")
        self.assertEqual(files["mem_exec.csv"], "1700000000,      4000,2097152,0,-1,2\n")
        self.assertEqual(files["mem_readwrite.csv"], "1700000000,     10000,16388,4096,-0.0,1\n")
        entropy = files["mem_write.csv"].splitlines()[1].split(",")[4]
        self.assertAlmostEqual(float(entropy), shannon(page), delta=1e-12)
        self.assertEqual(files["mem_write.csv"],
                         f"1700000000,      5000,4294967312,4096,0.5,1\n1700000000,      6000,8192,4096,{entropy},1\n"
                         "1700000000,      7000,12288,4096,-0.0,1\n1700000000,      8000,12288,4096,-1,1\n"
                         "1700000000,      9000,4273995792,0,-0.0,4\n")
        self.assertEqual((files["ata_read.csv"], files["ata_write.csv"]), ("1700000000,         0,8,512,-1,0\n", ""))

    def test_a_boot_without_memory_has_empty_files(self) -> None:
        write_records(self.store, [Row(0, START, "read", 8, 512)])
        good("export", self.store, "--out", self.path / "out", "--format", "ransmap")
        self.assertEqual((self.path / "out/mem_exec.csv").read_bytes(), b"")

    def test_sub_seconds_of_the_published_files(self) -> None:
        stream = MemoryStream(START, 500_000_000)
        stream.add("memory_read", 0x1000, PAGE, page_class=1)
        stream.write(self.store)
        good("export", self.store, "--out", self.path / "out", "--format", "ransmap", "--time-scale", "ransap")
        self.assertEqual((self.path / "out/mem_read.csv").read_text(), "1700000000, 536870912,4096,0,-1,1\n")


if __name__ == "__main__":
    run_program.main()
