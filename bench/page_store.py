#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One hour of a busy machine as a store, written with pyarrow as docs/formats/store.md says: half runs of a file system, half
single blocks all over a disk of 256 GiB.

A store is named by its size and by what this file says, so that one that is there is the one that would be made. Files that
are there are not made again: whoever was stopped goes on where they were.
"""
from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MACHINE, BOOT = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
START = 1_700_000_000 * 10**9
HOUR = 3600 * 10**9
PIECE = 1 << 20
PIECES = 3
FILE_ROWS = 4 * PIECE
DISK_SECTORS = 1 << 29
FIRST, LAST, HAS_ENTROPY = 1, 2, 4

_pieces: list[pa.Table] = []  # of this process


def _piece(rng: random.Random) -> pa.Table:
    """2^20 rows in which runs and single blocks take turns; numbers from 0."""
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
            entropy.append(rng.randrange(65536) / 65535 if write else None)
            flags.append((FIRST if i == 0 else 0) | (LAST if i == rows - 1 else 0) | (HAS_ENTROPY if write else 0))
    kinds = pa.DictionaryArray.from_arrays(pa.array(kind[:PIECE], pa.int32()), pa.array(["read", "write"]))
    return pa.table({"seq": pa.array(range(PIECE), pa.uint64()), "kind": kinds, "address": pa.array(address[:PIECE], pa.uint64()), "length": pa.array(length[:PIECE], pa.uint32()),
                     "entropy": pa.array(entropy[:PIECE], pa.float32()), "flags": pa.array(flags[:PIECE], pa.uint16())})


def _rows(number: int, ns_per_row: int) -> pa.Table:
    """The piece that stands at this place of the recording: times, numbers and a shift on the disk of its own."""
    base = _pieces[number % PIECES]
    shift = random.Random(number).randrange(DISK_SECTORS // 8) * 8
    seq = pc.add(base["seq"], pa.scalar(number * PIECE, pa.uint64()))
    moved = pc.add(base["address"], pa.scalar(shift, pa.uint64()))
    address = pc.if_else(pc.greater_equal(moved, DISK_SECTORS), pc.subtract(moved, pa.scalar(DISK_SECTORS, pa.uint64())), moved)
    time = pc.add(pc.multiply(seq.cast(pa.int64()), ns_per_row), START).cast(pa.timestamp("ns")).cast(pa.timestamp("ns", tz="UTC"))
    source = pa.repeat(pa.scalar(0, pa.uint16()), len(base))
    return pa.table({"seq": seq, "time": time, "kind": base["kind"], "address": address, "length": base["length"], "source": source,
                     "entropy": base["entropy"], "flags": base["flags"], "content": pa.nulls(len(base), pa.binary(32)), "slot": seq})


def _write_file(folder: Path, first: int, rows: int, ns_per_row: int) -> None:
    end = min(first + FILE_ROWS, rows)
    day = datetime.datetime.fromtimestamp((START + first * ns_per_row) // 10**9, datetime.timezone.utc).date().isoformat()
    path = folder / f"date={day}" / f"{first:020}-{end - 1:020}.parquet"
    if path.exists():
        return
    if not _pieces:
        rng = random.Random(1)
        _pieces.extend(_piece(rng) for _ in range(PIECES))
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(f".{os.getpid()}")
    table = pa.concat_tables([_rows(number, ns_per_row) for number in range(first // PIECE, (end + PIECE - 1) // PIECE)]).slice(0, end - first)
    pq.write_table(table, made, row_group_size=256 * 1024, compression="zstd", use_dictionary=["kind", "length", "source", "flags"],
                   column_encoding={name: "DELTA_BINARY_PACKED" for name in ("seq", "time", "slot", "address")})
    made.rename(path)


def make_store(cache: Path, rows: int, jobs: int) -> Path:
    """The store of that many rows below `cache`, whole."""
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    store = cache / f"{rows}-{made_by}"
    folder = store / f"machine={MACHINE}" / f"boot={BOOT}" / "stream=storage"
    folder.mkdir(parents=True, exist_ok=True)
    (store / "undercroft-store.json").write_text('{"format": 1}', encoding="ascii")
    with ProcessPoolExecutor(jobs) as pool:
        for done in [pool.submit(_write_file, folder, first, rows, HOUR // rows) for first in range(0, rows, FILE_ROWS)]:
            done.result()
    return store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(make_store(options.cache, options.rows, options.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
