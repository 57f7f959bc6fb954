# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What a store holds of a stream, file by file, so that hours of records fit."""
from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .access import READ, WRITE, Verdict
from .rig import Build
from .store import GAP, Boot

NAMES = ("seq", "kind", "length", "source")


@dataclass
class Account:
    """`spans`: [first, end) of sequence numbers that are accounted for, records and gap rows, in order and joined."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    records: int = 0
    in_gaps: int = 0
    bytes: Counter[tuple[str, int]] = field(default_factory=Counter)  # by kind and source


def account(boot: Boot, stream: str) -> Account:
    found = Account()
    spans: list[tuple[int, int]] = []
    for path in boot.folder.glob(f"stream={stream}/date=*/*.parquet"):
        rows = sorted(_rows(path))
        spans += joined((seq, seq + (length if kind == GAP else 1)) for seq, kind, length, _ in rows)
        for _, kind, length, source in rows:
            found.in_gaps += length if kind == GAP else 0
            found.records += kind != GAP
            found.bytes[kind, source] += length
    found.spans = joined(sorted(spans))
    return found


def _rows(path: Path) -> list[tuple[int, str, int, int]]:
    import pyarrow.parquet as parquet

    table = parquet.read_table(path, columns=list(NAMES), partitioning=None)
    return list(zip(*(table[name].to_pylist() for name in NAMES)))


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in ascending order, those that follow each other as one. Overlapping ones stay apart: something is there twice."""
    result: list[tuple[int, int]] = []
    for first, end in spans:
        if result and result[-1][1] == first:
            result[-1] = (result[-1][0], end)
        else:
            result.append((first, end))
    return result


def complete(found: Account, name: str, dropped: int) -> Verdict:
    """Every sequence number once; what is in gaps is what the sensor says it dropped."""
    verdict = Verdict(f"the {name} stream")
    verdict.fact(f"{found.records} records, {found.in_gaps} in gaps")
    verdict.require(len(found.spans) == 1 and found.spans[0][0] == 0, f"sequence numbers: {found.spans[:5]}")
    verdict.require(found.in_gaps == dropped, f"{found.in_gaps} records are in gaps, the sensor says that it dropped {dropped}")
    return verdict


def sound(build: Build, store: Path) -> Verdict:
    """`undercroft fsck` reads everything again, the blocks' hashes included."""
    verdict = Verdict("fsck")
    done = subprocess.run([build.undercroft, "fsck", "--deep", "--json", store], capture_output=True, text=True, check=False)
    verdict.require(done.returncode == 0, f"undercroft fsck ended with {done.returncode}: {done.stdout.strip()[-500:]} {done.stderr.strip()[-500:]}")
    return verdict


def disk_bytes(statistics: list[dict[str, object]], node: str) -> tuple[int, int]:
    """(read, written) of a disk by QEMU's own count (query-blockstats)."""
    text = [entry for entry in statistics if node in json.dumps(entry)]
    if len(text) != 1:
        raise ValueError(f"{len(text)} disks are called {node}")
    stats = text[0]["stats"]
    assert isinstance(stats, dict)
    return int(stats["rd_bytes"]), int(stats["wr_bytes"])


def same_bytes(found: Account, source: int, statistics: list[dict[str, object]], node: str, slack: int) -> Verdict:
    """The store's bytes of the disk are QEMU's. `slack`: the firmware reads before the sensor is there."""
    verdict = Verdict("bytes by QEMU's block layer")
    read, written = disk_bytes(statistics, node)
    stored = {kind: found.bytes[kind, source] for kind in (READ, WRITE)}
    verdict.fact(f"store {stored}, QEMU read {read}, written {written}")
    verdict.require(stored[WRITE] == written, "written bytes differ")
    verdict.require(0 <= read - stored[READ] <= slack, "read bytes differ")
    return verdict
