# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft replay against a disk modelled here as a bytearray."""
from __future__ import annotations

import hashlib
import json
import os
import random
import tempfile
import unittest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import run_program
from run_program import bad, good
from store_writer import CONTENT_SCHEMA, FIRST, HAS_CONTENT, LAST, Row, write_content, write_records

START = 1_700_000_000 * 10**9
SECTORS = 16384


class Replay(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.store = self.path / "store"
        self.base = self.path / "base.img"
        self.out = self.path / "out.img"
        rng = random.Random(9)
        with open(self.base, "wb") as file: # data, hole, data, hole
            file.write(rng.randbytes(1 << 20))
            file.seek(4 << 20)
            file.write(rng.randbytes(1 << 20))
            file.truncate(SECTORS * 512)
        self.rows, self.blocks = self.make_rows(rng)
        write_records(self.store, self.rows, per_file=500)
        self.where = write_content(self.store, self.blocks, per_file=150)

    def tearDown(self) -> None:
        self.folder.cleanup()

    @staticmethod
    def make_rows(rng: random.Random) -> tuple[list[Row], list[bytes]]:
        """Overlapping writes of 512 B to 64 KiB, trims, reads, flushes; some blocks repeat."""
        rows: list[Row] = []
        blocks: list[bytes] = []
        for at in range(700):
            time = START + at * 10**6
            kind = rng.choices(["write", "read", "flush", "trim"], [70, 15, 5, 10])[0]
            sectors = rng.choice([1, 3, 8, 9, 16, 128])
            address = rng.randrange(SECTORS - sectors)
            if kind != "write":
                rows.append(Row(len(rows), time, kind, address, 0 if kind == "flush" else sectors * 512, 256))
                continue
            data = rng.randbytes(sectors * 512) if rng.random() < 0.7 else bytes([rng.randrange(4)]) * (sectors * 512)
            for offset in range(0, len(data), 4096):
                block = data[offset : offset + 4096]
                flags = HAS_CONTENT | (FIRST if offset == 0 else 0) | (LAST if offset + 4096 >= len(data) else 0)
                rows.append(Row(len(rows), time, "write", address + offset // 512, len(block), 256, 0.5, flags, hashlib.sha256(block).digest()))
                blocks.append(block)
        return rows, blocks

    def model(self, rows: list[Row], zero_trimmed: bool = False) -> bytes:
        """The disk after these rows."""
        data = {hashlib.sha256(block).digest(): block for block in self.blocks}
        disk = bytearray(self.base.read_bytes())
        for row in rows:
            if row.kind == "write" and row.content in data:
                disk[row.address * 512 : row.address * 512 + row.length] = data[row.content]
            if row.kind == "trim" and zero_trimmed:
                disk[row.address * 512 : row.address * 512 + row.length] = bytes(row.length)
        return bytes(disk)

    def replay(self, *options: object) -> bytes:
        self.out.unlink(missing_ok=True)
        before = self.base.read_bytes(), self.base.stat().st_mtime_ns
        self.counts = json.loads(good("replay", self.store, "--base", self.base, "--out", self.out, "--json", *options))
        self.assertEqual((self.base.read_bytes(), self.base.stat().st_mtime_ns), before)
        return self.out.read_bytes()

    def refuse(self, *options: object) -> str:
        message = bad("replay", self.store, "--base", self.base, "--out", self.out, *options)
        self.assertEqual([path.name for path in self.path.iterdir() if path.name.startswith("out.img")], [])
        return message

    def test_equals_the_model(self) -> None:
        writes = [row for row in self.rows if row.kind == "write"]
        self.assertEqual(self.replay(), self.model(self.rows))
        self.assertEqual((self.counts["writes"], self.counts["bytes"]), (len(writes), sum(row.length for row in writes)))
        self.assertEqual(self.replay("--trim", "zero"), self.model(self.rows, zero_trimmed=True))
        self.assertEqual(self.counts["trims"], sum(row.kind == "trim" for row in self.rows))

    def test_until(self) -> None:
        for at in (0, 1, 350, 699):
            time = START + at * 10**6
            expected = self.model([row for row in self.rows if row.time <= time])
            self.assertEqual(self.replay("--until", f"+{at}ms"), expected)
            self.assertEqual(self.replay("--until", f"{time // 10**9}.{time % 10**9:09}"), expected)
        for seq in (0, 17, len(self.rows) - 1, 10**9):
            self.assertEqual(self.replay("--until-seq", seq), self.model(self.rows[: seq + 1]))

    def test_copy_is_sparse(self) -> None:
        self.replay("--until-seq", 0)
        self.assertLess(os.stat(self.out).st_blocks * 512, SECTORS * 512 - (1 << 20))

    def test_gap(self) -> None:
        lost = self.rows[300]
        rows = [row if row is not lost else Row(300, lost.time, "gap", 300, 1) for row in self.rows]
        for path in self.store.rglob("machine=*/**/*.parquet"):
            path.unlink()
        write_records(self.store, rows)
        self.assertIn("seq 300:", self.refuse())
        self.assertEqual(self.replay("--until-seq", 299), self.model(self.rows[:300]))
        self.assertEqual(self.replay("--force"), self.model(rows))
        self.assertEqual(self.counts["lost_records"], 1)

    def test_capture_switched_off(self) -> None:
        rows = [row if row.seq != 300 else Row(300, row.time, "capture_off", 0, 0) for row in self.rows]
        for path in self.store.rglob("machine=*/**/*.parquet"):
            path.unlink()
        write_records(self.store, rows)
        self.assertIn("seq 300: capture was switched off", self.refuse("--source", "1:0"))
        self.assertEqual(self.replay("--until-seq", 299), self.model(self.rows[:300]))
        self.assertEqual(self.replay("--force"), self.model(rows))

    def test_missing_file(self) -> None:
        next(self.store.rglob(f"{500:020}-*.parquet")).unlink()
        self.assertIn("seq 500:", self.refuse())
        self.assertEqual(self.replay("--until-seq", 499), self.model(self.rows[:500]))

    def test_missing_content(self) -> None:
        victim = next(row for row in self.rows if row.kind == "write" and row.seq > 200)
        file = self.where[victim.content]
        gone = set(pq.read_table(file).column("hash").to_pylist())
        file.unlink()
        first = next(row.seq for row in self.rows if row.content in gone)
        self.assertIn(f"seq {first}:", self.refuse())
        self.assertEqual(self.replay("--force"), self.model([row for row in self.rows if row.content not in gone]))
        self.assertEqual(self.counts["writes_without_content"], sum(row.content in gone for row in self.rows))

    def test_header_only(self) -> None:
        for row in self.rows:
            row.content = None
        for path in self.store.rglob("machine=*/**/*.parquet"):
            path.unlink()
        write_records(self.store, self.rows)
        first = next(row.seq for row in self.rows if row.kind == "write")
        self.assertIn(f"seq {first}: this write was captured without its content", self.refuse())

    def test_damaged_content(self) -> None:
        file = self.where[next(row for row in self.rows if row.kind == "write").content]
        table = pq.read_table(file)
        data = [bytes([block[0] ^ 1]) + block[1:] for block in table.column("data").to_pylist()]
        pq.write_table(pa.table({"hash": table.column("hash"), "data": pa.array(data, pa.binary())}, CONTENT_SCHEMA), file)
        message = self.refuse("--force")
        self.assertIn(str(file), message)
        self.assertIn("does not match", message)

    def test_sources(self) -> None:
        other = hashlib.sha256(self.blocks[0]).digest()
        end = len(self.rows)
        rows = [*self.rows, Row(end, START + 10**10, "write", 0, len(self.blocks[0]), 257, 0.5, 15, other)]
        for path in self.store.rglob("machine=*/**/*.parquet"):
            path.unlink()
        write_records(self.store, rows)
        self.assertIn("--source 1:1", self.refuse())
        self.assertEqual(self.replay("--source", "1:0"), self.model(self.rows))
        self.assertEqual(self.replay("--source", "257"), self.model([rows[-1]]))

    def test_beyond_the_image(self) -> None:
        os.truncate(self.base, 8000 * 512)
        self.assertIn("beyond the image", self.refuse())
        image = self.replay("--force", "--trim", "zero")
        self.assertEqual(len(image), 8000 * 512)
        self.assertGreater(self.counts["writes_beyond_image"], 0)

    def test_files(self) -> None:
        self.out.write_bytes(b"x")
        self.assertIn("not overwritten", bad("replay", self.store, "--base", self.base, "--out", self.out))
        self.assertIn("not overwritten", bad("replay", self.store, "--base", self.base, "--out", self.base))
        self.out.unlink()
        self.assertIn("cannot be opened", bad("replay", self.store, "--base", self.path / "none", "--out", self.out))
        self.base.write_bytes(b"QFI\xfb" + bytes(4092))
        self.assertIn("qemu-img", self.refuse())


if __name__ == "__main__":
    run_program.main()
