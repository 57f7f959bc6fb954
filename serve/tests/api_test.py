# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`undercroft serve` asked as its page asks it: strangers, hostile requests, tiles and features against counts made here."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from pathlib import Path
from time import sleep

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "analysis" / "tests"))

import store_writer  # noqa: E402
from served import Served  # noqa: E402
from store_writer import BOOT, FIRST, HAS_CONTENT, HAS_ENTROPY, LAST, MACHINE, MemoryStream, Row, requests, write_content, write_records  # noqa: E402

PROGRAM = Path(sys.argv.pop(1))
START = 1_700_000_000 * 10**9
WHO = {"machine": MACHINE, "boot": BOOT}


def disk_rows(seed: int, count: int, spread_ns: float = 3e7) -> list[Row]:
    rng = random.Random(seed)
    rows: list[Row] = []
    seq, time = 0, START
    for _ in range(count):
        time += int(rng.expovariate(1 / spread_ns)) if rng.random() > 0.01 else -1000
        kind = rng.choices(["read", "write", "flush", "gap"], [45, 50, 4, 1])[0]
        if kind == "gap":
            lost = rng.randrange(1, 30)
            rows.append(Row(seq, time, "gap", seq, lost, flags=0))
            seq += lost
            continue
        address = rng.randrange(500_000, 600_000) if rng.random() < 0.98 else rng.randrange(2**40)
        entropy = rng.randrange(65536) / 65535 if kind == "write" and rng.random() < 0.9 else None
        size = 512 * rng.choice([1, 3, 8, 8, 8, 16, 64, 256])
        new = requests(kind, time, address, 0 if kind == "flush" else size, seq, rng.choice([0, 0, 258]), entropy) or [Row(seq, time, kind, 0, 0)]
        rows += new
        seq += len(new)
    return rows


def touched(rows: list[Row], kind: str, source: int | None) -> list[tuple[int, int, float | None]]:
    """(time, block, entropy) for each 4 KiB block that a request touches, once per request."""
    result: list[tuple[int, int, float | None]] = []
    seen: set[int] = set()
    for row in rows:
        if row.flags & FIRST:
            seen = set()
        if row.kind != kind or row.length == 0 or (source is not None and row.source != source):
            continue
        for block in range(row.address // 8, (row.address + row.length // 512 - 1) // 8 + 1):
            if block not in seen:
                seen.add(block)
                result.append((row.time, block, row.entropy))
    return result


class StoreTest(unittest.TestCase):
    served: Served
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def fill(cls, store: Path) -> None:
        raise NotImplementedError

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        store = Path(cls.folder.name) / "store"
        cls.fill(store)
        cls.served = Served(PROGRAM, store)
        cls.served.wait_indexed()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.served.close()
        cls.folder.cleanup()


class Disk(StoreTest):
    rows = disk_rows(3, 20_000)

    @classmethod
    def fill(cls, store: Path) -> None:
        write_records(store, cls.rows, per_file=9000)

    def check_tile(self, time_shift: int, block_shift: int, source: int | None) -> int:
        columns = rows = 200
        column = (START >> time_shift) - 3
        row = max(0, (500_000 // 8 >> block_shift) - 5)
        extra = {} if source is None else {"source": source}
        tile = self.served.columns("tile", **WHO, stream="storage", time_shift=time_shift, block_shift=block_shift, column=column, row=row, columns=columns, rows=rows, **extra)
        total = 0
        for kind, name in (("read", "reads"), ("write", "writes")):
            expected: Counter[int] = Counter()
            sums: Counter[int] = Counter()
            known: Counter[int] = Counter()
            for time, block, entropy in touched(self.rows, kind, source):
                x, y = (time >> time_shift) - column, (block >> block_shift) - row
                if 0 <= x < columns and 0 <= y < rows:
                    expected[y * columns + x] += 1
                    if entropy is not None:
                        known[y * columns + x] += 1
                        sums[y * columns + x] += entropy  # type: ignore[assignment]
            got = tile.grid(name, columns * rows)
            self.assertEqual({i: v for i, v in enumerate(got) if v}, dict(expected))
            total += sum(expected.values())
            if kind == "write":
                self.assertEqual({i: v for i, v in enumerate(tile.grid("entropy_count", columns * rows)) if v}, dict(known))
                for place, value in enumerate(tile.grid("entropy_sum", columns * rows)):
                    self.assertAlmostEqual(value, sums[place], delta=1e-3 * max(1.0, sums[place]))
        return total

    def test_tiles_are_the_counts(self) -> None:
        seen = 0
        for time_shift in (22, 27, 28, 29, 32, 36):
            for block_shift in (4, 6, 9) if time_shift >= 28 else (0, 3, 9):
                for source in (None, 0, 258):
                    with self.subTest(time_shift=time_shift, block_shift=block_shift, source=source):
                        seen += self.check_tile(time_shift, block_shift, source)
        self.assertGreater(seen, 50_000)

    def test_a_tile_is_the_heatmap(self) -> None:
        """The same cells as `undercroft heatmap` counts."""
        shift, blocks = 30, 7
        column, row = START >> shift, 500_000 // 8 >> blocks
        out = Path(self.folder.name) / "map"
        begin, end = column << shift, (column + 100) << shift
        first, last = (row << blocks) * 8, ((row + 90) << blocks) * 8
        run = subprocess.run([str(PROGRAM), "heatmap", str(Path(self.folder.name) / "store"), "--out", str(out), "--from", f"{begin // 10**9}.{begin % 10**9:09}",
                              "--to", f"{end // 10**9}.{end % 10**9:09}", "--lba-range", f"{first}-{last}", "--bins", "100x90"], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        grid = json.loads(Path(f"{out}.json").read_text(encoding="utf-8"))
        self.assertEqual((grid["time"]["cell_ns"], grid["lba"]["cell_sectors"]), (1 << shift, 8 << blocks))
        tile = self.served.columns("tile", **WHO, stream="storage", time_shift=shift, block_shift=blocks, column=column, row=row, columns=100, rows=90)
        for name, mine in (("read", "reads"), ("write", "writes")):
            self.assertEqual([v for line in grid["grids"][name] for v in line], tile.grid(mine, 9000))

    def test_features(self) -> None:
        for shift in (26, 30, 33):
            column, columns = START >> shift, 40
            got = self.served.columns("features", **WHO, time_shift=shift, column=column, columns=columns)
            step = 2**shift / 1e9
            for i in range(columns):
                mine = [r for r in self.rows if r.time >> shift == column + i]
                for kind, name in (("read", "read"), ("write", "write")):
                    rows = [r for r in mine if r.kind == kind]
                    lbas = [r.address + 8 * k for r in rows for k in range((r.length + 4095) // 4096)]
                    self.assertAlmostEqual(got[f"{name}_bytes_per_s"][i], sum(r.length for r in rows) / step, delta=1 + sum(r.length for r in rows) / step * 1e-6)
                    variance = statistics.pvariance(lbas) if lbas else 0.0
                    self.assertAlmostEqual(got[f"{name}_lba_variance"][i], variance, delta=1 + variance * 1e-5)
                self.assertEqual(got["lost_records"][i], sum(r.length for r in mine if r.kind == "gap"))

    def test_records(self) -> None:
        begin, end = START + 5 * 10**9, START + 9 * 10**9
        got = self.served.columns("records", **WHO, stream="storage", from_ns=begin, to_ns=end, first_block=0, end_block=2**44, limit=20_000)
        expected = [r for r in self.rows if begin <= r.time < end]
        self.assertFalse(got.about["more"])
        self.assertEqual(list(got["seq"]), [r.seq for r in expected])
        self.assertEqual(list(got["time"]), [r.time for r in expected])
        self.assertEqual([got.about["kinds"][k] for k in got["kind"]], [r.kind for r in expected])
        few = self.served.columns("records", **WHO, stream="storage", from_ns=begin, to_ns=end, first_block=0, end_block=2**44, limit=10)
        self.assertTrue(few.about["more"])
        self.assertEqual(len(few["seq"]), 10)

    def test_facts(self) -> None:
        facts = self.served.json("stream", **WHO, stream="storage")
        self.assertEqual(facts["rows"], len(self.rows))
        self.assertEqual(len(facts["gaps"]), sum(r.kind == "gap" for r in self.rows))
        self.assertEqual(sum(g[2] for g in facts["gaps"]), sum(r.length for r in self.rows if r.kind == "gap"))
        self.assertEqual({s["source"] for s in facts["sources"]}, {0, 258})
        for source in facts["sources"]:
            self.assertLess(source["dense_end_block"] - source["dense_first_block"], 20_000)


class Gate(Disk):
    """Strangers and hostile requests; the store is that of Disk."""

    rows = disk_rows(4, 50)

    test_tiles_are_the_counts = test_a_tile_is_the_heatmap = test_features = test_records = test_facts = None  # type: ignore[assignment]

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.served.port), timeout=30) as peer:
            answer = b""
            with contextlib.suppress(OSError):  # it may have closed at once
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)
                while part := peer.recv(65536):
                    answer += part
            return answer

    def test_strangers_get_nothing(self) -> None:
        for path in ("/api/state", "/index.html", "/assets/index.js", "/api/content?hash=" + "0" * 64, "/../etc/passwd"):
            status, headers, body = self.served.request(path, headers={})
            self.assertIn(status, (400, 401), path)
            self.assertNotIn(MACHINE.encode(), body)
            self.assertIn("default-src 'none'", headers["content-security-policy"])
        status, headers, body = self.served.request("/", headers={})
        self.assertEqual(status, 200)
        self.assertIn(b'name="token"', body)
        for word in (b"<script", MACHINE.encode(), b"ndercroft"):
            self.assertNotIn(word, body)

    def test_the_page_has_a_policy(self) -> None:
        status, headers, body = self.served.request("/")
        self.assertEqual(status, 200)
        policy = headers["content-security-policy"]
        self.assertIn("script-src 'self'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        for name in (part.split(b'"')[0].decode() for part in body.split(b'src="')[1:]):
            self.assertEqual(self.served.request(name)[0], 200, name)
            self.assertEqual(self.served.request(name, headers={})[0], 401, name)

    def test_wrong_host_and_origin(self) -> None:
        bearer = {"Authorization": "Bearer a-token-for-tests-0123456789abcdef"}
        self.assertEqual(self.served.request("/api/state", headers={**bearer, "Host": "evil.example"})[0], 421)
        status, _, _ = self.served.request("/api/control", "POST", "{}", {**bearer, "Origin": "http://evil.example", "Content-Type": "application/json"})
        self.assertEqual(status, 403)
        status, _, _ = self.served.request("/api/control", "POST", "{}", {**bearer, "Content-Type": "application/json"})
        self.assertEqual(status, 404)  # no collector

    def test_hostile_requests(self) -> None:
        head = b" HTTP/1.1\r\nHost: localhost\r\n"
        for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 20_000 + head + b"\r\n", b"GET /" + head + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
                     b"POST /sign-in" + head + b"Content-Length: 99999999999\r\n\r\n", b"POST /sign-in" + head + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n", b"BREW /" + head + b"\r\n",
                     b"GET /%00" + head + b"\r\n", b"GET http://x/" + head + b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", os.urandom(4000)):
            answer = self.raw(data)
            self.assertNotIn(b"HTTP/1.1 2", answer)
        self.assertEqual(self.served.request("/api/state")[0], 200)

    def test_parameters_are_bounded(self) -> None:
        good = {**WHO, "stream": "storage", "time_shift": 30, "block_shift": 5, "column": 1, "row": 0, "columns": 16, "rows": 16}
        self.served.get("tile", **good)
        for name, value in (("time_shift", 9), ("time_shift", 64), ("block_shift", 3), ("block_shift", 64), ("column", -1), ("column", 2**63), ("row", 2**62), ("columns", 0), ("rows", 513), ("rows", "x"),
                            ("stream", "x"), ("machine", "../x"), ("source", 65536)):
            with self.subTest(name=name, value=value):
                from urllib.parse import urlencode
                self.assertEqual(self.served.request("/api/tile?" + urlencode({**good, name: value}))[0], 400)
        self.assertEqual(self.served.request("/api/tile")[0], 400)
        self.assertEqual(self.served.request("/api/stream?" + f"machine={MACHINE}&boot={'0' * 32}&stream=storage")[0], 404)
        self.assertEqual(self.served.request("/api/nothing")[0], 404)


class Evidence(StoreTest):
    """Content before and after, alerts, scores, and a disk that was given a file system while it was watched."""

    plain, cipher = b"The quick brown fox. " * 195 + b"!", bytes(random.Random(1).randbytes(4096))
    plain = plain[:4096].ljust(4096, b".")

    @classmethod
    def fill(cls, store: Path) -> None:
        boot_sector = bytearray(4096)
        boot_sector[446:462] = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (20_000).to_bytes(4, "little")
        boot_sector[510:512] = b"\x55\xaa"
        super_block = bytearray(4096)
        super_block[1024 + 4:1024 + 8] = (2000).to_bytes(4, "little")
        super_block[1024 + 24:1024 + 28] = (2).to_bytes(4, "little")
        super_block[1024 + 56:1024 + 58] = b"\x53\xef"
        super_block[1024 + 96:1024 + 100] = (0x40).to_bytes(4, "little")
        blocks = [bytes(boot_sector), bytes(super_block), cls.plain, cls.cipher]
        places = [0, 2048, 8000, 8000]
        rows = [Row(i, START + i * 10**9, "write", lba, 4096, 0, 0.5, FIRST | LAST | HAS_CONTENT | HAS_ENTROPY, hashlib.sha256(block).digest())
                for i, (lba, block) in enumerate(zip(places, blocks, strict=True))]
        write_records(store, rows)
        write_content(store, blocks)
        day = "2023-11-14"
        (store / "alerts").mkdir()
        ours = {"format": 1, "id": "0123456789abcdef", "machine": MACHINE, "boot": BOOT, "source": 0, "first_evidence_ns": START + 25 * 10**8, "alert_ns": START + 31 * 10**8, "until_ns": START + 32 * 10**8}
        lines = [json.dumps({"undercroft": {**ours, "state": state}}) for state in ("open", "ended")]
        (store / "alerts" / f"{day}.jsonl").write_text("\n".join(lines) + "\n" + '{"undercroft": {"id": "half', encoding="utf-8")
        scores = store / "scores" / f"machine={MACHINE}" / f"boot={BOOT}" / "source=0"
        scores.mkdir(parents=True)
        (scores / f"{day}.jsonl").write_text('{"format":1,"threshold":0.7}\n' + "".join(f'{{"end_ns":{START + i * 10**9},"p":0.{i},"alarm":false}}\n' for i in range(1, 9)), encoding="utf-8")

    def test_content_before_and_after(self) -> None:
        writes = self.served.json("block", **WHO, stream="storage", source=0, block=1000, time_ns=START + 25 * 10**8)["writes"]
        self.assertEqual([w["seq"] for w in writes], [2, 3])
        got = [self.served.get("content", hash=w["hash"], time_ns=w["time_ns"]) for w in writes]
        self.assertEqual(got, [self.plain, self.cipher])
        self.assertEqual(self.served.request(f"/api/content?hash={'0' * 64}&time_ns=0")[0], 404)

    def test_alerts_and_scores(self) -> None:
        alerts = self.served.json("alerts")["alerts"]
        self.assertEqual([(a["undercroft"]["id"], a["undercroft"]["state"]) for a in alerts], [("0123456789abcdef", "ended")])
        scores = self.served.columns("scores", **WHO, source=0, from_ns=START + 3 * 10**9, to_ns=START + 6 * 10**9)
        self.assertEqual([round(p, 3) for p in scores["p"]], [0.3, 0.4, 0.5])
        self.assertEqual(scores.about["made_by"]["threshold"], 0.7)

    def test_partitions(self) -> None:
        marks = self.served.json("stream", **WHO, stream="storage")["sources"][0]["marks"]
        self.assertEqual([(m["first_lba"], m["end_lba"], m["name"]) for m in marks], [(2048, 22048, "partition 1 (type 83)"), (2048, 2048 + 16000, "ext4")])


class Memory(StoreTest):
    @classmethod
    def fill(cls, store: Path) -> None:
        stream = MemoryStream(START, step=10**7)
        stream.mode(1, "access", [(0, 0xA0000), (0x100000, 0x1000000)])
        stream.add("memory_armed", 0x100000, 0x100000, 1)
        rng = random.Random(2)
        for _ in range(2000):
            stream.add(rng.choice(["memory_read", "memory_write", "memory_execute", "memory_read_write"]), 0x100000 + 4096 * rng.randrange(256), 4096, page_class=1)
        stream.add("memory_read", 0x400000, 2 << 20, page_class=2)
        stream.write(store)
        cls.stream = stream

    stream: MemoryStream

    def test_counts_and_what_was_looked_at(self) -> None:
        shift, columns, rows = 30, 32, 128
        column = START >> shift
        tile = self.served.columns("tile", **WHO, stream="memory", time_shift=shift, block_shift=4, column=column, row=0, columns=columns, rows=rows)
        expected: Counter[int] = Counter()
        for r in self.stream.rows:
            if r.kind in ("memory_read", "memory_read_write") and r.length == 4096:
                expected[(r.address >> 16) * columns + (r.time >> shift) - column] += 1
        got = {i: v for i, v in enumerate(tile.grid("reads", columns * rows)) if v and (i // columns) < 32}
        self.assertEqual(got, dict(expected))
        large = sum(v for i, v in enumerate(tile.grid("reads", columns * rows)) if 64 <= i // columns < 96)
        self.assertAlmostEqual(large, 1, places=5)
        looked = tile.grid("looked_read", columns * rows)
        self.assertAlmostEqual(looked[20 * columns + 5], 1, places=5)
        self.assertEqual(looked[40 * columns + 5], 0)
        self.assertEqual(self.served.json("stream", **WHO, stream="memory")["ram"], [[0, 0xA0000], [0x100000, 0x1000000]])


class WrittenPages(StoreTest):
    """Pages with their bytes: a snapshot in one file, mode `written` in others, and a mode without bytes."""

    stream: MemoryStream

    @classmethod
    def write(cls, page: int, data: bytes | None, entropy: float | None) -> None:
        if data:
            cls.stream.blocks.append(data)
        flags = (HAS_ENTROPY if entropy is not None else 0) | (HAS_CONTENT if data else 0)
        cls.stream.add("memory_write", page * 4096 + 8, 4096, 0, flags=flags, page_class=1, entropy=entropy, content=hashlib.sha256(data).digest() if data else None)

    @classmethod
    def fill(cls, store: Path) -> None:
        cls.stream = stream = MemoryStream(START, step=10**8)
        rng = random.Random(9)
        stream.mode(3, "snapshot", [(0, 0xA0000), (0x100000, 0x1000000)])
        stream.sweep(1, {page * 4096: b"snapshot %04d ".ljust(4096, b"s") % page if page % 2 else bytes(4096) for page in range(256, 300)})
        while len(stream.rows) < 60:
            stream.add("memory_execute", 0x100000, 4096, page_class=1)
        stream.mode(2, "written", [(0, 0xA0000), (0x100000, 0x1000000)])
        stream.add("memory_armed", 0x100000, 0x800000, 2)
        for _ in range(300):
            cls.write(rng.randrange(256, 300), rng.randbytes(4096) if rng.random() < 0.7 else None, rng.randrange(65536) / 65535 if rng.random() < 0.9 else None)
        stream.add("memory_disarmed", 0x100000, 0x800000, 2)
        for _ in range(30):
            stream.add("memory_read", 0x100000, 4096, page_class=1)
        stream.write(store, per_file=60)

    def expected(self, begin: int, end: int) -> dict[int, list[Row]]:
        pages: dict[int, list[Row]] = {}
        for row in self.stream.rows:
            if row.kind == "memory_write" and begin <= row.time < end and row.flags & (HAS_ENTROPY | HAS_CONTENT):
                pages.setdefault(row.address // 4096 * 4096, []).append(row)
        return pages

    def test_pages_of_a_time(self) -> None:
        times = [r.time for r in self.stream.rows if r.kind == "memory_write"]
        for begin, end in ((times[0], times[-1] + 1), (times[40], times[90]), (times[7], times[7] + 1)):
            with self.subTest(begin=begin, end=end):
                expected = self.expected(begin, end)
                got = self.served.json("pages", **WHO, from_ns=begin, to_ns=end, limit=1000)
                self.assertEqual((got["page_count"], got["writes"], got["cut"], got["looked"]), (len(expected), sum(map(len, expected.values())), False, True))
                rank = {page: max(-1 if r.entropy is None else r.entropy for r in rows) for page, rows in expected.items()}
                self.assertEqual(sorted(rank, key=lambda page: -rank[page]), [p["address"] for p in got["pages"]])
                for page in got["pages"]:
                    rows = expected[page["address"]]
                    highest = max(rows, key=lambda r: (-1 if r.entropy is None else r.entropy, -r.seq))
                    self.assertEqual((page["writes"], page["seq"], page["time_ns"], page["captured"]), (len(rows), highest.seq, highest.time, bool(highest.flags & HAS_CONTENT)))
                    self.assertAlmostEqual(page["entropy"] or 0, highest.entropy or 0, places=6)
        few = self.served.json("pages", **WHO, from_ns=times[0], to_ns=times[-1], limit=3)
        self.assertEqual((len(few["pages"]), few["page_count"]), (3, len(self.expected(times[0], times[-1]))))

    def test_nothing_written_and_not_looked(self) -> None:
        last = self.stream.rows[-1].time
        for begin, end, looked in ((START, START + 10**9, False), (last - 10**9, last, False)):
            got = self.served.json("pages", **WHO, from_ns=begin, to_ns=end, limit=5)
            self.assertEqual((got["pages"], got["looked"]), ([], looked))
        for name, value in (("limit", 0), ("limit", 1001), ("from_ns", -1), ("to_ns", "x")):
            parameters = {**WHO, "from_ns": START, "to_ns": START + 1, "limit": 5, name: value}
            self.assertEqual(self.served.request("/api/pages?" + "&".join(f"{k}={v}" for k, v in parameters.items()))[0], 400)

    def test_bytes_before_are_those_of_the_snapshot(self) -> None:
        for number in (257, 258):
            first = next(r for r in self.stream.rows if r.kind == "memory_write" and r.address // 4096 == number)
            writes = self.served.json("block", **WHO, stream="memory", block=number, time_ns=first.time)["writes"]
            before = [w for w in writes if w["seq"] < first.seq]
            self.assertEqual([w["kind"] for w in before], ["memory_page"])
            self.assertEqual((before[0]["zero"], before[0]["captured"]), (number == 258, True))
            if number == 257:
                self.assertTrue(self.served.get("content", hash=before[0]["hash"], time_ns=before[0]["time_ns"]).startswith(b"snapshot 0257"))


class Damage(unittest.TestCase):
    def test_a_damaged_file_is_named_and_the_rest_shown(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            files = write_records(store, disk_rows(5, 300), per_file=200)
            files[0].write_bytes(files[0].read_bytes()[:-100])
            served = Served(PROGRAM, store)
            try:
                for _ in range(200):
                    state = served.json("state")
                    if state["problems"] and state["boots"] and state["boots"][0]["storage"]["rows"] > 0:
                        break
                    sleep(0.05)
                self.assertIn(files[0].name, state["problems"][0])
                self.assertGreater(state["boots"][0]["storage"]["rows"], 0)
            finally:
                served.close()

    def test_indexes_are_made_again_when_damaged(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            rows = disk_rows(6, 400)
            write_records(store, rows, per_file=300)
            for damage in (lambda b: b[:-9], lambda b: b[: len(b) // 2], lambda b: b[:-200] + bytes(40) + b[-160:], lambda b: b""):
                served = Served(PROGRAM, store)
                served.wait_indexed()
                self.assertEqual(served.json("stream", **WHO, stream="storage")["rows"], len(rows))
                served.close()
                for index in (store / "page-index").rglob("*.cells"):
                    index.write_bytes(damage(index.read_bytes()))

    def test_bad_options(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "short").write_text("short\n", encoding="ascii")
            for arguments, word in ((["--listen", "0.0.0.0:0"], "plain-http"), (["--listen", "nowhere:1"], "listen"), (["--token-file", f"{folder}/short"], "too short"), (["--token-file", f"{folder}/none"], "token")):
                run = subprocess.run([str(PROGRAM), "serve", folder, *arguments], capture_output=True, text=True, timeout=30, check=False)
                self.assertEqual(run.returncode, 1)
                self.assertIn(word, run.stderr)


if __name__ == "__main__":
    assert store_writer
    unittest.main(verbosity=1)
