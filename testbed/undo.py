# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Undo: the disk as it was at a moment, rebuilt from a base image and the store, and the files on it."""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CHUNK = 4 << 20


class UndoError(Exception):
    """The disk could not be rebuilt or read."""


@dataclass
class Recovered:
    """Paths of the files that should be there."""

    right: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return bool(self.right) and not self.changed and not self.missing

    def __str__(self) -> str:
        text = f"{len(self.right)} of {len(self.right) + len(self.changed) + len(self.missing)} files have the hash that they had"
        for name in ("changed", "missing"):
            if paths := getattr(self, name):
                text += f"; {len(paths)} {name}, e.g. {paths[0]}"
        return text


def call(*command: str | Path, good: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode not in good:
        raise UndoError(f"`{' '.join(str(part) for part in command)}` ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def records(program: Path, store: Path, source: str) -> Iterator[dict[str, str]]:
    """A disk's records, in order."""
    with tempfile.TemporaryDirectory(prefix="undercroft-records-") as out:
        call(program, "export", store, "--source", source, "--format", "csv", "--out", out)
        for path in sorted(Path(out).rglob("*.csv")):
            with open(path, encoding="ascii", newline="") as handle:
                yield from csv.DictReader(handle)


def replay(program: Path, store: Path, source: str, base: Path, until_ns: int, image: Path) -> None:
    """The disk just before `until_ns`, the sensor's time."""
    image.unlink(missing_ok=True)
    moment = until_ns - 1
    call(program, "replay", store, "--source", source, "--base", base, "--out", image, "--until", f"{moment // 10**9}.{moment % 10**9:09d}")


def files_of_ext4(image: Path, start_sector: int, sectors: int, into: Path) -> Path:
    """Copies all files out of an ext4 file system that begins at `start_sector`; its journal is applied first, as after a power failure."""
    into.mkdir(parents=True)
    volume = into / "volume.img"
    with open(image, "rb") as reader, open(volume, "wb") as writer:
        reader.seek(start_sector * SECTOR)
        rest = sectors * SECTOR
        while rest and (data := reader.read(min(CHUNK, rest))):
            rest -= len(data)
            if data.count(0) == len(data):
                writer.seek(len(data), 1)
            else:
                writer.write(data)
        writer.truncate(sectors * SECTOR)
    call("e2fsck", "-fy", volume, good=(0, 1))
    tree = into / "files"
    tree.mkdir()
    call("debugfs", "-R", f"rdump / {tree}", volume)
    volume.unlink()
    return tree


def compare(tree: Path, wanted: dict[str, str]) -> Recovered:
    """`wanted`: SHA-256 by path below `tree`."""
    result = Recovered()
    for path, digest in sorted(wanted.items()):
        file = tree / path
        if not file.is_file() or file.is_symlink():
            result.missing.append(path)
        elif hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            result.right.append(path)
        else:
            result.changed.append(path)
    return result


def recover(program: Path, store: Path, source: str, base: Path, until_ns: int, place: tuple[int, int], wanted: dict[str, str], work: Path) -> Recovered:
    """All of it. `place`: the file system's first sector and its length. `work` is emptied first; the files stay in work/files."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    image = work / "disk.raw"
    replay(program, store, source, base, until_ns, image)
    tree = files_of_ext4(image, *place, work / "volume")
    image.unlink()
    return compare(tree, wanted)
