#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The page on one hour of a busy machine, 10^8 records: how long tiles take, how fluently it moves, how late live records
are. Part of `make bench-page`; writes BUILD/bench.json.

 - store: 10^8 rows in an hour, written with pyarrow as docs/formats/store.md says: half runs of a file system, half
   single blocks all over a disk of 256 GiB;
 - tiles: of all zooms, none asked before, one request at a time, over HTTP; the time is the asker's;
 - frames: a headless Chromium without a GPU pans and zooms over it for some seconds; time between frames;
 - live: the median of page_browser_test (pictures/live.json), when that has run.
"""
from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "serve" / "tests"))

import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from bench.run import Results, merged, table  # noqa: E402
from served import TOKEN, Served  # noqa: E402

MACHINE, BOOT = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
START = 1_700_000_000 * 10**9
HOUR = 3600 * 10**9
PIECE = 1 << 20
FILE_ROWS = 4 << 20
DISK_SECTORS = 1 << 29


def piece(rng: random.Random) -> pa.Table:
    """2^20 rows in which runs and single blocks take turns; times and numbers from 0."""
    kind, address, length, entropy, flags = [], [], [], [], []
    while len(kind) < PIECE:
        write = rng.random() < 0.6
        blocks = rng.choice((1, 1, 1, 1, 8, 32))
        at = rng.randrange(DISK_SECTORS // 8) * 8 if blocks == 1 else rng.randrange(DISK_SECTORS // 4096) * 512
        rows = blocks if write else 1
        for i in range(rows):
            kind.append(1 if write else 0)
            address.append(at + 8 * i if write else at)
            length.append(4096 if write else 4096 * blocks)
            entropy.append(rng.random() if write else None)
            flags.append((1 if i == 0 else 0) | (2 if i == rows - 1 else 0) | (4 if write else 0))
    number = pa.array(range(PIECE), pa.uint64())
    return pa.table({"seq": number, "kind": pa.array(kind[:PIECE], pa.int32()), "address": pa.array(address[:PIECE], pa.uint64()), "length": pa.array(length[:PIECE], pa.uint32()),
                     "entropy": pa.array(entropy[:PIECE], pa.float32()), "flags": pa.array(flags[:PIECE], pa.uint16())})


def rows_from(base: pa.Table, first: int, shift: int, ns_per_row: int) -> pa.Table:
    seq = pc.add(base["seq"], pa.scalar(first, pa.uint64()))
    moved = pc.add(base["address"], pa.scalar(shift, pa.uint64()))
    address = pc.if_else(pc.greater_equal(moved, DISK_SECTORS), pc.subtract(moved, pa.scalar(DISK_SECTORS, pa.uint64())), moved)
    at = pc.add(pc.multiply(seq.cast(pa.int64()), ns_per_row), START)
    kinds = pa.chunked_array([pa.DictionaryArray.from_arrays(chunk, pa.array(["read", "write"])) for chunk in base["kind"].chunks])
    zero = pa.array([0] * len(base), pa.uint16())
    return pa.table({"seq": seq, "time": at.cast(pa.timestamp("ns")).cast(pa.timestamp("ns", tz="UTC")), "kind": kinds, "address": address, "length": base["length"],
                     "source": pa.chunked_array([zero]), "entropy": base["entropy"], "flags": base["flags"], "content": pa.nulls(len(base), pa.binary(32)), "slot": seq})


def make_store(store: Path, rows: int) -> None:
    rng = random.Random(1)
    bases = [piece(rng) for _ in range(3)]
    ns_per_row = HOUR // rows
    (store / f"machine={MACHINE}" / f"boot={BOOT}").mkdir(parents=True)
    (store / "undercroft-store.json").write_text('{"format": 1}', encoding="ascii")
    number = 0
    while number < rows:
        first = number
        parts = []
        while number < rows and number - first < FILE_ROWS:
            part = rows_from(bases[(number // PIECE) % 3], number, rng.randrange(DISK_SECTORS // 8) * 8, ns_per_row)
            parts.append(part.slice(0, min(PIECE, rows - number)))
            number += len(parts[-1])
        day = datetime.datetime.fromtimestamp((START + first * ns_per_row) // 10**9, datetime.timezone.utc).date().isoformat()
        path = store / f"machine={MACHINE}" / f"boot={BOOT}" / "stream=storage" / f"date={day}" / f"{first:020}-{number - 1:020}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(parts), path, row_group_size=256 * 1024, compression="zstd", use_dictionary=["kind", "length", "source", "entropy", "flags"],
                       column_encoding={name: "DELTA_BINARY_PACKED" for name in ("seq", "time", "slot", "address")})


def tile_times(served: Served, rng: random.Random, count: int) -> list[float]:
    """Milliseconds of tiles as the page asks for them, the whole hour to a fraction of a second; none twice."""
    times = []
    for i in range(count):
        shift = 16 + i % 17
        block = rng.choice([b for b in range(0, 19, 3) if b >= (4 if shift >= 28 else 0)])
        column = (START + rng.randrange(HOUR) >> shift + 8) * 256 if shift + 8 < 42 else (START >> shift + 8) * 256
        row = (rng.randrange(DISK_SECTORS // 8) >> block + 7) * 128
        begun = time.perf_counter()
        served.get("tile", machine=MACHINE, boot=BOOT, stream="storage", source=0, time_shift=shift, block_shift=block, column=column, row=row, columns=256, rows=128)
        times.append((time.perf_counter() - begun) * 1e3)
    return times


def frames(served: Served, folder: Path, modules: Path) -> dict[str, float]:
    done = subprocess.run(["node", str(Path(__file__).with_name("page_frames.mjs")), served.url, TOKEN, str(modules), shutil.which("chromium") or "chromium", MACHINE, BOOT, str(folder / "frames.png")],
                          capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(folder)})
    if done.returncode != 0:
        raise SystemExit(f"page_frames.mjs: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with playwright-core")
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--tiles", type=int, default=170)
    parser.add_argument("--store", type=Path, help="keep the store here, and use it when it is there")
    options = parser.parse_args()
    results = Results()
    with tempfile.TemporaryDirectory(prefix="page-bench-", dir=options.build) as name:
        folder = Path(name).resolve()
        store = options.store.resolve() if options.store else folder / "store"
        if not store.exists():
            make_store(store, options.rows)
        shutil.rmtree(store / "page-index", ignore_errors=True)
        served = Served((options.build / "bin" / "undercroft").resolve(), store)
        begun = time.monotonic()
        served.wait_indexed(1800)
        indexed = time.monotonic() - begun
        cells = sum(path.stat().st_size for path in (store / "page-index").rglob("*.cells"))
        records = sum(path.stat().st_size for path in store.rglob("*.parquet"))
        times = tile_times(served, random.Random(2), options.tiles)
        moving = frames(served, folder, options.modules.resolve())
        resident = int(Path(f"/proc/{served.process.pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        served.close()
    rows = f"{options.rows:.0e} records".replace("e+0", "e")
    results.add("page_fps_median_1e8", moving["fps_median"], f"{rows}; pan and zoom in headless Chromium without a GPU; slowest twentieth {moving['fps_p5']:.0f}; drawing takes {moving['draw_ms_median']:.1f} ms")
    results.add("tile_ms_p95", sorted(times)[int(len(times) * 0.95)], f"{rows}; {len(times)} tiles of all zooms, none asked before; median {statistics.median(times):.0f}, worst {max(times):.0f}; server's memory {resident:.0f} MB")
    results.add("page_index_s_1e8", indexed, f"{rows}; made once; {cells / 1e6:.0f} MB beside {records / 1e6:.0f} MB of records")
    live = options.build / "page" / "pictures" / "live.json"
    if live.is_file():
        delay = json.loads(live.read_text(encoding="utf-8"))
        results.add("live_delay_ms_median", delay["live_delay_ms_median"], f"from a record's time to its pixel, by page_browser_test; p95 {delay['live_delay_ms_p95']:.0f}")
    out = options.build / "bench.json"
    out.write_text(json.dumps(merged(out, results.entries), indent=1) + "\n", encoding="utf-8")
    print(table(results.entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
