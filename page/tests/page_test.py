# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Sets up what browser.mjs looks at: stores with known records, a collector fed by the load generator, and their pages.

    page_test.py BIN MODULES OUT      programs' folder, node_modules, where pictures go
"""
from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "analysis" / "tests", ROOT / "serve" / "tests"):
    sys.path.insert(0, str(folder))

from collector.tests.faults.rig import Rig  # noqa: E402
from served import TOKEN, Served  # noqa: E402
from store_writer import FIRST, HAS_CONTENT, HAS_ENTROPY, LAST, MACHINE, MEMORY_SCHEMA, ZERO_CONTENT, MemoryStream, Row, requests, write_content, write_records  # noqa: E402

SECOND = 10**9
START = 1_700_000_000 * SECOND
BOOTS = ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
SOURCE = 1
HELLO = {"sensor_version": "0.1.0", "cpu_backend": "svm", "capture_mode": "full", "policy": "drop", "start_utc_ns": START,
         "disks": [{"source": SOURCE, "logical_sector_bytes": 512, "capacity_512": 4194304, "model": "TEST DISK", "serial": "T1"}]}


class Writer:
    """Rows one after the other, as the sensor numbers them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.sequence = 0

    def access(self, kind: str, at: int, lba: int, size: int, entropy: float | None = None) -> None:
        new = requests(kind, at, lba, size, self.sequence, SOURCE, entropy)
        self.rows += new
        self.sequence += len(new)

    def note(self, kind: str, at: int, length: int = 0) -> None:
        self.rows.append(Row(self.sequence, at, kind, self.sequence if kind == "gap" else 0, length, 0, None, 0))
        self.sequence += max(length, 1)


def work(writer: Writer, start: int, seconds: float, rng: random.Random) -> None:
    """Files read one after the other, written again, and a log beside them."""
    at, end, file = start, start + int(seconds * SECOND), 0
    while at < end:
        at += int(rng.expovariate(1 / 9e6))
        file = (file + 1) % 700
        lba = 100_000 + file * 512
        if rng.random() < 0.5:
            writer.access("read", at, lba + rng.randrange(400), 512 * rng.choice([8, 64, 256]))
        else:
            writer.access("write", at, lba, 512 * rng.choice([8, 16, 128]), rng.choice([0.25, 0.5, 0.99, None]))
        if rng.random() < 0.1:
            writer.access("write", at, 900_000 + rng.randrange(2000), 4096, 0.4)


def write_hello(store: Path, boot: str, start: int) -> None:
    (store / f"machine={MACHINE}" / f"boot={boot}" / "hello.json").write_text(json.dumps({**HELLO, "start_utc_ns": start}), encoding="ascii")


def disk_store(store: Path) -> dict[str, Any]:
    rng = random.Random(1)
    w = Writer()
    work(w, START, 40, rng)
    gap = [START + 42 * SECOND, START + 45 * SECOND]
    w.access("read", gap[0], 200_000, 4096)
    w.note("gap", gap[1], 123)
    work(w, gap[1], 20, rng)
    off = [START + 68 * SECOND, START + 73 * SECOND]
    w.note("capture_off", off[0])
    w.note("capture_on", off[1])
    work(w, off[1], 10, rng)
    burst_at = START + 90 * SECOND
    first = w.sequence
    for i in range(12):
        w.access("write", burst_at + i * 50_000, 500_000 + 16 * i, 4096, 0.9)
    work(w, START + 100 * SECOND, 30, rng)
    write_records(store, w.rows, per_file=5000, boot=BOOTS[0])
    write_hello(store, BOOTS[0], START)
    other = Writer()
    begin = START + 3600 * SECOND
    work(other, begin, 125, rng)
    write_records(store, other.rows, per_file=9000, boot=BOOTS[1])
    write_hello(store, BOOTS[1], begin)
    return {"machine": MACHINE, "boot": BOOTS[0], "source": SOURCE, "gap": gap, "off": off, "quiet": START + 95 * SECOND,
            "burst": {"from": burst_at - 300_000, "to": burst_at + 900_000, "first_block": 62_400, "end_block": 62_600, "records": 12, "first_sequence": first},
            "grid_start": begin}


def grid(programs: Path, store: Path, folder: Path, begin: int) -> dict[str, Any]:
    """Cells of `undercroft heatmap` that are the page's: 400 x 80 of 2^28 ns x 2^10 blocks."""
    shift, blocks, columns, rows = 28, 10, 400, 80
    first = (begin >> shift) + 10
    row = 8
    run = subprocess.run([str(programs / "undercroft"), "heatmap", str(store), "--boot", BOOTS[1], "--source", str(SOURCE), "--out", str(folder / "map"), "--size", "2400x1400",
                          "--from", f"{(first << shift) // SECOND}.{(first << shift) % SECOND:09}", "--to", f"{((first + columns) << shift) // SECOND}.{((first + columns) << shift) % SECOND:09}",
                          "--lba-range", f"{(row << blocks) * 8}-{((row + rows) << blocks) * 8}", "--bins", f"{columns}x{rows}"], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise SystemExit(f"heatmap: {run.stderr}")
    return {"file": str(folder / "map.json"), "machine": MACHINE, "boot": BOOTS[1], "from": first << shift, "to": (first + columns) << shift, "first_block": row << blocks, "end_block": (row + rows) << blocks, "max": 200}


def memory_store(store: Path) -> dict[str, Any]:
    stream = MemoryStream(START, step=10**7)
    stream.mode(1, "access", [(0, 0xA0000), (0x100000, 0x1000000)])
    stream.add("memory_armed", 0x100000, 0x300000, 1)
    rng = random.Random(2)
    for i in range(6000):
        page = 0x100 + (i // 40 + rng.randrange(40)) % 256
        kind = rng.choices(["memory_read", "memory_write", "memory_execute", "memory_read_write"], [5, 3, 1, 1])[0]
        stream.add(kind, page * 4096, 4096, page_class=1, entropy=rng.random() if "write" in kind else None)
    stream.write(store)
    boot = next((store / f"machine={MACHINE}").iterdir()).name.removeprefix("boot=")
    write_hello(store, boot, START)
    return {"machine": MACHINE, "boot": boot, "time": START + 30 * SECOND, "looked": 0x300, "unlooked": 0x800}


def written_pages() -> tuple[MemoryStream, dict[str, Any]]:
    """What mode `written` would have told of a program's memory around the alert."""
    stream = MemoryStream(START + 50 * SECOND, step=SECOND)
    stream.mode(2, "written", [(0, 0xA0000), (0x100000, 0x1000000)])
    stream.add("memory_armed", 0x100000, 0x300000, 2)
    rng = random.Random(5)

    def write(page: int, data: bytes | None, entropy: float) -> None:
        if data:
            stream.blocks.append(data)
        zero = data == bytes(4096)
        flags = HAS_ENTROPY | (ZERO_CONTENT if zero else HAS_CONTENT if data else 0)
        stream.add("memory_write", page * 4096, 4096, 1, flags=flags, page_class=1, entropy=entropy, content=None if zero or not data else hashlib.sha256(data).digest())

    write(0x155, b"a key schedule that is not yet scrambled ".ljust(4096, b"."), 0.31)
    while stream.time < START + 60 * SECOND:
        stream.add("memory_execute", 0x200000, 4096, 0, page_class=1)
    stream.step = SECOND // 10
    write(0x155, rng.randbytes(4096), 0.994)
    write(0x200, bytes(4096), 0.0)
    write(0x201, None, 0.5)
    for i in range(40):
        write(0x180 + i % 20, f"buffer {i} ".encode().ljust(4096, b"-"), 0.2)
    return stream, {"highest": "0x155000", "zeros": "0x200000", "pages": 23, "writes": 43}


def evidence_store(store: Path) -> dict[str, Any]:
    rng = random.Random(3)
    rows, blocks = [], []
    sequence = 0
    plain = [(f"{i:04} The quick brown fox jumps over the lazy dog. ".encode() * 100)[:4096] for i in range(64)]
    for turn, (begin, make) in enumerate(((START, lambda i: plain[i]), (START + 60 * SECOND, lambda _: rng.randbytes(4096)))):
        for i in range(64):
            data = make(i)
            blocks.append(data)
            rows.append(Row(sequence, begin + i * SECOND // 10, "write", 80_000 + i * 8, 4096, SOURCE, 0.55 if turn == 0 else 0.994, FIRST | LAST | HAS_CONTENT | HAS_ENTROPY, hashlib.sha256(data).digest()))
            sequence += 1
    write_records(store, rows, boot=BOOTS[0])
    write_hello(store, BOOTS[0], START)
    stream, pages = written_pages()
    write_records(store, stream.rows, boot=BOOTS[0], schema=MEMORY_SCHEMA, stream="memory")
    write_content(store, blocks + stream.blocks)
    write_records(store, rows[:10], boot=BOOTS[1])
    write_hello(store, BOOTS[1], START)
    first, alert = START + 60 * SECOND, START + 63 * SECOND
    ours = {"format": 1, "id": "0123456789abcdef", "state": "open", "machine": MACHINE, "boot": BOOTS[0], "source": SOURCE, "first_evidence_ns": first, "alert_ns": alert, "until_ns": alert + 3 * SECOND,
            "raised_ns": alert, "probability": 0.93, "highest_probability": 0.981, "threshold": 0.7, "windows": 4, "model": {"name": "3f2a90c1d2e4", "kind": "boosted", "track": "reads+writes"},
            "reasons": [{"feature": "write_entropy", "window_s": 10, "value": 0.994, "log_odds": 2.31}, {"feature": "overwrites_share", "window_s": 10, "value": 1.0, "log_odds": 1.64}, {"feature": "read_rate", "window_s": 300, "value": None, "log_odds": -0.4}],
            "extents": [{"lba": 80_000, "sectors": 512, "writes": 64, "bytes": 262144}], "extents_left_out": 0, "bytes_written": 262144, "response": None, "acknowledged": None}
    early = {"first_evidence_ns": START + 2 * SECOND, "alert_ns": START + 4 * SECOND, "until_ns": START + 5 * SECOND, "raised_ns": START + 4 * SECOND, "state": "ended"}
    alerts = [ours, {**ours, **early, "id": "1111111111111111"}, {**ours, **early, "id": "2222222222222222", "boot": BOOTS[1], "extents": [], "reasons": []}]
    (store / "alerts").mkdir()
    (store / "alerts" / "2023-11-14.jsonl").write_text("".join(
        json.dumps({"@timestamp": "2023-11-14T22:14:23Z", "message": "Disk 0:1 is probably being encrypted", "undercroft": one}) + "\n" for one in alerts), encoding="utf-8")
    scores = store / "scores" / f"machine={MACHINE}" / f"boot={BOOTS[0]}" / f"source={SOURCE}"
    scores.mkdir(parents=True)
    lines = [{"format": 1, "threshold": 0.7}] + [{"end_ns": START + i * SECOND, "p": 0.05 + (0.9 if 62 <= i <= 66 else 0.1 * rng.random()), "alarm": 62 <= i <= 66} for i in range(1, 68)]
    (scores / "2023-11-14.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return {"machine": MACHINE, "boot": BOOTS[0], "alert": alert, "until": "2023-11-14T22:14:19.999", "pages": pages, "unwatched": alerts[1]["id"], "unmonitored": alerts[2]["id"]}


def live(programs: Path, folder: Path) -> tuple[Rig, subprocess.Popen[str], dict[str, Any]]:
    token = folder / "live-token"
    token.write_text(TOKEN + "\n", encoding="ascii")
    rig = Rig(programs, folder / "live", arguments=("--roll-seconds", "5", "--serve", "127.0.0.1:0", "--serve-token-file", str(token)))
    rig.start()
    load = subprocess.Popen([str(programs / "uc_sensor_load"), "--to", rig.address, "--key-file", str(rig.folder / "key"), "--shape", "headers", "--records", "0", "--seconds", "240", "--rate", "2000",
                             "--ns-per-record", "500000", "--base-time-ns", str(time.time_ns())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    for _ in range(200):
        log = (rig.folder / "collect.log").read_text(encoding="utf-8")
        if "the page is at " in log:
            return rig, load, {"url": log.split("the page is at ")[1].split()[0], "answer": "did not answer"}
        time.sleep(0.05)
    raise SystemExit("collect --serve did not say where its page is")


def main() -> int:
    programs, modules, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    chromium = shutil.which("chromium")
    if not chromium or not (modules / "playwright-core").is_dir():
        raise SystemExit("Chromium or playwright-core is missing: run tools/setup")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        setup: dict[str, Any] = {"chromium": chromium, "modules": str(modules), "token": TOKEN, "out": str(out)}
        served = []
        for kind, make in (("disk", disk_store), ("memory", memory_store), ("evidence", evidence_store)):
            setup[kind] = make(folder / kind)
            served.append(Served(programs / "undercroft", folder / kind))
            served[-1].wait_indexed()
            setup[kind]["url"] = served[-1].url
        (folder / "empty").mkdir()
        served.append(Served(programs / "undercroft", folder / "empty"))
        setup["empty"] = {"url": served[-1].url}
        setup["disk"]["grid"] = grid(programs, folder / "disk", folder, setup["disk"]["grid_start"])
        rig, load, setup["live"] = live(programs, folder)
        (folder / "setup.json").write_text(json.dumps(setup), encoding="utf-8")
        try:
            return subprocess.run(["node", "--test", "--test-concurrency=1", *sys.argv[4:], str(Path(__file__).with_name("browser.mjs"))], check=False,
                                  env={**os.environ, "UNDERCROFT_PAGE_SETUP": str(folder / "setup.json"), "HOME": str(folder)}).returncode
        finally:
            load.terminate()
            load.wait()
            rig.stop()
            for one in served:
                one.close()


if __name__ == "__main__":
    sys.exit(main())
