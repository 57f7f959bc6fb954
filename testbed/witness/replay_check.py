# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`undercroft replay` of the base image against the image that QEMU left."""
from __future__ import annotations

import subprocess
from pathlib import Path

from .access import SHOWN_DIFFERENCES, Verdict

CHUNK_BYTES = 4 << 20
SECTOR_BYTES = 512


def differing_sectors(left: Path, right: Path, limit: int) -> tuple[int, list[int]]:
    """How many 512-byte sectors differ (the shorter file counts as zeros), and the first `limit` of them."""
    count, first = 0, []
    with left.open("rb") as a, right.open("rb") as b:
        for base in range(0, max(left.stat().st_size, right.stat().st_size), CHUNK_BYTES):
            x, y = (chunk.ljust(CHUNK_BYTES, b"\0") for chunk in (a.read(CHUNK_BYTES), b.read(CHUNK_BYTES)))
            if x == y:
                continue
            for at in range(0, CHUNK_BYTES, SECTOR_BYTES):
                if x[at:at + SECTOR_BYTES] != y[at:at + SECTOR_BYTES]:
                    count += 1
                    if len(first) < limit:
                        first.append((base + at) // SECTOR_BYTES)
    return count, first


def compare_images(left: Path, right: Path, left_name: str, right_name: str) -> Verdict:
    verdict = Verdict(f"{left_name} against {right_name}")
    sizes = left.stat().st_size, right.stat().st_size
    verdict.fact(f"{sizes[0]} bytes")
    verdict.require(sizes[0] == sizes[1], f"{left_name} has {sizes[0]} bytes, {right_name} has {sizes[1]}")
    count, first = differing_sectors(left, right, SHOWN_DIFFERENCES)
    if count:
        verdict.problem(f"{count} sectors differ, the first at lba {', '.join(map(str, first))}")
    return verdict


def check(undercroft: Path, store: Path, base: Path, final: Path, out: Path, timeout: float = 300) -> Verdict:
    """Replays the store onto a copy of `base` and compares it with `final`. The base must differ from the final
    image: otherwise a replay that does nothing would pass. Trimmed sectors read as zeros here (QEMU: raw, discard=unmap)."""
    verdict = Verdict("replay")
    changed, _ = differing_sectors(base, final, 0)
    verdict.fact(f"the run changed {changed} sectors")
    verdict.require(changed > 0, "base and final image are equal: nothing is shown by a replay")
    out.unlink(missing_ok=True)
    command = [str(undercroft), "replay", str(store), "--base", str(base), "--out", str(out), "--trim", "zero"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        verdict.problem(f"`{' '.join(command)}` ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
        return verdict
    verdict.merge(compare_images(out, final, "the replayed image", "the image that QEMU left"))
    return verdict
