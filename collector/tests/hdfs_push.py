# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the HDFS witnesses share: a store that is quickly made, and a running `undercroft hdfs push`."""
from __future__ import annotations

import random
import subprocess
from pathlib import Path

MACHINE = "00112233445566778899aabbccddeeff"
BOOT = "ffeeddccbbaa99887766554433221100"
MIB = 1 << 20


def make_store(folder: Path, contents: list[int], records: int, seed: int = 1) -> Path:
    """What counts as a store for an upload: names as in docs/formats/store.md, bytes at random."""
    rng = random.Random(seed)
    boot = folder / f"machine={MACHINE}" / f"boot={BOOT}"
    day = boot / "stream=storage" / "date=2026-11-22"
    day.mkdir(parents=True)
    (folder / "undercroft-store.json").write_text('{"format": 1}\n')
    (boot / "hello.json").write_text('{"sensor_version": "1"}\n')
    for number, size in enumerate(contents, 1):
        path = folder / "content" / f"{number & 0xFF:02x}" / f"{number:020}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size))
    for number in range(records):
        (day / f"{number * 100:020}-{number * 100 + 99:020}.parquet").write_bytes(rng.randbytes(rng.randrange(1, 20_000)))
    return folder


def closed_files(store: Path) -> dict[str, Path]:
    """Every file that a copy must have."""
    files = [path for pattern in ("*.json", "machine=*/boot=*/*.json", "machine=*/boot=*/stream=*/date=*/*.parquet", "content/*/*.parquet")
             for path in store.glob(pattern)]
    return {str(path.relative_to(store)): path for path in files}


class Push:
    """A running `undercroft hdfs push`."""

    def __init__(self, programs: Path, store: Path, url: str, *options: object) -> None:
        self.store = store
        self.process = subprocess.Popen([programs / "undercroft", "hdfs", "push", store, url, *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def uploaded(self) -> int:
        """Files that its list says are there."""
        return sum(log.read_text().count("\nhave ") for log in (self.store / "hdfs").glob("*.log"))

    def result(self, timeout: float = 240) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=timeout)
        finally:
            self.close()
        return self.process.returncode, out, err

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
