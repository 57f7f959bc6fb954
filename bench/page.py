#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The page on one hour of a busy machine, 10^8 records: how long tiles take, how fluently it moves, how late live records
are. Part of `make bench-page`; writes BUILD/bench.json.

 - store: bench/page_store.py; it and its index are kept below --stores, so that only the first run makes them (--prepare does
   nothing else). --reindex makes the index again, and measures that;
 - tiles: of all zooms, none asked before, one request at a time, over HTTP; the time is the asker's;
 - frames: a headless Chromium without a GPU pans and zooms over it for some seconds; time between frames;
 - live: the median of page_browser_test (pictures/live.json) and of the witness with a guest, as far as these have run.
"""
from __future__ import annotations

import argparse
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

from bench.page_store import BOOT, DISK_SECTORS, HOUR, MACHINE, START, make_store  # noqa: E402
from bench.run import Results, keep, table  # noqa: E402
from served import TOKEN, Served  # noqa: E402


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


class Bench:
    def __init__(self, build: Path, store: Path, rows: int) -> None:
        self._build, self._store, self._rows = build, store, rows
        self._index = store / "page-index"
        self.results = Results()

    @property
    def _named(self) -> str:
        return f"{self._rows:.0e} records".replace("e+0", "e")

    def serve(self, again: bool) -> Served:
        """A server that has the whole index; its making is a figure when nothing of it was there."""
        if again:
            shutil.rmtree(self._index, ignore_errors=True)
        fresh = not any(self._index.rglob("*.cells"))
        served = Served((self._build / "bin" / "undercroft").resolve(), self._store)
        begun = time.monotonic()
        served.wait_indexed(3600)
        if fresh:
            cells = sum(path.stat().st_size for path in self._index.rglob("*.cells"))
            records = sum(path.stat().st_size for path in self._store.rglob("*.parquet"))
            self.results.add("page_index_s_1e8", time.monotonic() - begun, f"{self._named}; made once; {cells / 1e6:.0f} MB beside {records / 1e6:.0f} MB of records")
        return served

    def tiles(self, served: Served, count: int) -> None:
        times = tile_times(served, random.Random(2), count)
        resident = int(Path(f"/proc/{served.process.pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        self.results.add("tile_ms_p95", sorted(times)[int(len(times) * 0.95)], f"{self._named}; {len(times)} tiles of all zooms, none asked before; median {statistics.median(times):.0f}, worst {max(times):.0f}; server's memory {resident:.0f} MB")

    def frames(self, served: Served, folder: Path, modules: Path) -> None:
        moving = frames(served, folder, modules)
        self.results.add("page_fps_median_1e8", moving["fps_median"], f"{self._named}; pan and zoom in headless Chromium without a GPU; slowest twentieth {moving['fps_p5']:.0f}; drawing takes {moving['draw_ms_median']:.1f} ms")

    def live(self) -> None:
        for name, file, how in (("live_delay_ms_median", self._build / "page" / "pictures" / "live.json", "page_browser_test"), ("live_delay_guest_ms_median", self._build / "witness" / "page" / "live.json", "the witness `page`, in an emulated guest")):
            if file.is_file():
                delay = json.loads(file.read_text(encoding="utf-8"))
                self.results.add(name, delay["live_delay_ms_median"], f"from a record's time to its pixel, by {how}; p95 {delay['live_delay_ms_p95']:.0f}")

    def keep(self) -> None:
        """Figures of a smaller store are shown only."""
        if self._rows == 10**8:
            keep(self._build / "bench.json", self.results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with playwright-core")
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--tiles", type=int, default=170)
    parser.add_argument("--stores", type=Path, help="where stores are kept (default: BUILD/bench-page)")
    parser.add_argument("--prepare", action="store_true", help="make store and index, measure nothing")
    parser.add_argument("--reindex", action="store_true", help="make the index again")
    options = parser.parse_args()
    store = make_store(options.stores or options.build / "bench-page", options.rows, os.cpu_count() or 1).resolve()
    bench = Bench(options.build, store, options.rows)
    served = bench.serve(options.reindex)
    try:
        if not options.prepare:
            bench.tiles(served, options.tiles)
            bench.keep()
            with tempfile.TemporaryDirectory(prefix="page-bench-", dir=options.build) as name:
                bench.frames(served, Path(name).resolve(), options.modules.resolve())
            bench.live()
            bench.keep()
    finally:
        served.close()
    print(table(bench.results.entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
