# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft import of blktrace's binaries: written here from the kernel's struct, and read by blkparse as well."""
from __future__ import annotations

import random
import shutil
import struct
import subprocess
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds
import run_program
from run_program import bad, good, run

MAGIC = 0x65617400 | 7
QUEUE, ISSUE, COMPLETE = 1, 7, 8
READ, WRITE, FLUSH, SYNC, NOTIFY, META, DISCARD = (1 << bit for bit in (16, 17, 18, 19, 26, 28, 29))
START = 1_700_000_000 * 10**9 + 250_000_000
DEVICE = 8 << 20 | 16  # sdb


@dataclass
class Event:
    time: int
    action: int
    sector: int = 0
    size: int = 0
    cpu: int = 0
    pdu: bytes = b""

    def packed(self, sequence: int) -> bytes:
        return struct.pack("<IIQQIIIIIHH", MAGIC, sequence, self.time, self.sector, self.size, self.action, 4711, DEVICE, self.cpu, 0, len(self.pdu)) + self.pdu


def events(seed: int) -> list[Event]:
    rng = random.Random(seed)
    result = [Event(100, 1 | NOTIFY, pdu=struct.pack("<II", *divmod(START + 100, 10**9))), Event(120, NOTIFY, pdu=b"dd\0\0\0\0\0\0\0\0\0\0\0\0\0\0")]
    time = 1000
    for _ in range(300):
        time += rng.randrange(1, 5_000_000)
        category, sector, size = rng.choice([READ, READ | META, WRITE, WRITE | SYNC, WRITE | DISCARD, DISCARD]), rng.randrange(1 << 34) * 8, rng.choice([512, 4096, 65536, 1 << 20])
        cpu = rng.randrange(2)
        result += [Event(time, QUEUE | category, sector, size, cpu), Event(time + 50, ISSUE | category, sector, size, cpu, pdu=rng.choice([b"", b"\0" * 20])),
                   Event(time + 900, COMPLETE | category, sector, size, 1 - cpu)]
    return [*result, Event(time + 2000, ISSUE | WRITE | FLUSH, 0, 0)]


def write(folder: Path, trace: list[Event]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for cpu in range(2):
        mine = [event for event in trace if event.cpu == cpu]
        (folder / f"sdb.blktrace.{cpu}").write_bytes(b"".join(event.packed(number + 1) for number, event in enumerate(mine)))


def kind(event: Event) -> str:
    if event.action & DISCARD:
        return "trim"
    if event.action & FLUSH and event.size == 0:
        return "flush"
    return "write" if event.action & WRITE else "read"


class Blktrace(unittest.TestCase):
    def setUp(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.path = Path(self.temporary.name)
        self.trace = events(1)
        write(self.path / "trace", self.trace)

    def tearDown(self) -> None:
        self.temporary.cleanup()

    def rows(self) -> list[tuple[str, int, int, int]]:
        table = ds.dataset(list((self.path / "store").rglob("*.parquet"))).to_table()
        rows = table.set_column(1, "time", table["time"].cast("int64")).to_pylist()
        return [(row["kind"], row["time"], row["address"], row["length"]) for row in sorted(rows, key=lambda row: row["seq"])]

    def test_what_was_issued_is_stored(self) -> None:
        self.assertIn("1 runs with 301 records", good("import", "--format", "blktrace", self.path / "trace", self.path / "store"))
        issued = [event for event in self.trace if event.action & 0xFFFF == ISSUE and not event.action & NOTIFY]
        self.assertEqual(self.rows(), [(kind(event), START + event.time, event.sector, event.size) for event in sorted(issued, key=lambda event: event.time)])

    def test_blkparse_reads_the_same(self) -> None:
        if shutil.which("blkparse") is None:
            self.fail("blkparse is not installed: tools/setup")
        text = subprocess.run(["blkparse", "-q", "-i", "sdb", "-D", self.path / "trace", "-f", "%a %S %N %T.%9t\n"], capture_output=True, text=True, check=True).stdout
        good("import", "--format", "blktrace", self.path / "trace", self.path / "store")
        lines = sorted((at, int(sector), int(size)) for what, sector, size, at in (line.split() for line in text.splitlines() if line.startswith("D ")))
        mine = sorted((f"{(time - START) // 10**9}.{(time - START) % 10**9:09}", sector, size) for _, time, sector, size in self.rows())
        self.assertGreater(len(lines), 300)
        first = min(event.time for event in self.trace if not event.action & NOTIFY)
        shifted = sorted((f"{(time - START - first) // 10**9}.{(time - START - first) % 10**9:09}", sector, size) for _, time, sector, size in self.rows())
        self.assertIn(lines, (mine, shifted))  # blkparse counts from the first event

    def test_oddities(self) -> None:
        only_queued = [event for event in self.trace if event.action & 0xFFFF != ISSUE]
        write(self.path / "queued", only_queued)
        self.assertIn("with 300 records", good("import", "--format", "blktrace", self.path / "queued", self.path / "store"))
        whole = (self.path / "trace/sdb.blktrace.0").read_bytes()
        cut = self.path / "cut.blktrace.0"
        cut.write_bytes(whole[:-7])
        self.assertIn("1 times unfinished_event", run("import", "--format", "blktrace", cut, self.path / "cut").stderr)
        cut.write_bytes(whole[:480] + b"noise" + whole[480:])
        self.assertIn("1 times damaged_event", run("import", "--format", "blktrace", cut, self.path / "noise").stderr)
        cut.write_bytes(b"".join(event.packed(1) for event in self.trace if not event.action & NOTIFY))
        self.assertIn("1 times no_start_time", run("import", "--format", "blktrace", "--start", "1000", cut, self.path / "late").stderr)
        cut.write_bytes(whole[:4][::-1] + whole[4:])
        self.assertIn("big-endian", bad("import", "--format", "blktrace", cut, self.path / "big"))
        cut.write_bytes(b"\x08" + whole[1:])
        self.assertIn("format 8", bad("import", "--format", "blktrace", cut, self.path / "new"))
        cut.write_bytes(b"PK\x03\x04")
        self.assertIn("not a trace", bad("import", "--format", "blktrace", cut, self.path / "zip"))
        (self.path / "store-of-nothing").mkdir()
        self.assertIn("holds no", bad("import", "--format", "blktrace", self.path / "store-of-nothing", self.path / "none"))


if __name__ == "__main__":
    run_program.main()
