# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Records of a storage stream at random, with everything in them that features and heat maps have to get right."""
from __future__ import annotations

import random
import struct

from store_writer import Row, requests

START = 1_700_000_000 * 10**9 + 123_456_789
SECOND = 10**9


def as_float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def random_rows(seed: int, count: int, far: int = 0, jump_ns: int = 0) -> list[Row]:
    """Two disks, aligned and unaligned, times that go back now and then, pauses, gaps, unknown entropies. `far` is where the
    disks' used part begins; after three quarters of the requests the clock jumps by `jump_ns`."""
    rng = random.Random(seed)
    rows: list[Row] = []
    time = START
    for number in range(count):
        time += rng.choice([10**6, 10**7, 10**8, 10**9]) if rng.random() < 0.97 else rng.choice([-3 * SECOND, 40 * SECOND])
        time = max(time, START) + (jump_ns if number == count * 3 // 4 else 0)
        seq = rows[-1].seq + (rows[-1].length if rows[-1].kind == "gap" else 1) if rows else 0
        kind = rng.choices(["read", "write", "flush", "trim", "gap"], [40, 50, 4, 4, 2])[0]
        if kind == "gap":
            rows.append(Row(seq, time, "gap", seq, rng.randrange(1, 30), flags=0))
        elif kind == "flush":
            rows.append(Row(seq, time, "flush", 0, 0))
        else:
            entropy = as_float32(rng.random()) if kind == "write" and rng.random() < 0.9 else None
            size = 512 * rng.choice([1, 3, 8, 8, 9, 16, 64, 256, 2048])
            rows += requests(kind, time, far + rng.randrange(1 << 20), size, seq, rng.choice([0, 258]), entropy)
    return rows
