# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Encryptors for the test bed's own documents: what a disk sees of them is like what it sees of ransomware.

They refuse every folder that the test bed has not made (corpus.MARKER), use a key that the run's report gives away, and do nothing
else that such programs do.
"""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import cipher, corpus

# Seconds for each file at least; 0: as fast as the machine can. 4,000 documents take a second of 0.05 to 1 % of them then, which is
# also what published measurements of ransomware on whole disks come to.
PACES = (0.0, 0.03, 0.06, 0.12, 0.2, 0.3)


@dataclass
class Job:
    """One run of an encryptor: what it may touch, what chance gave it, and what it has done."""

    root: Path
    entries: list[corpus.Entry]
    seed: int
    deadline: float  # of time.monotonic()
    chance: random.Random
    method: str = "chacha20"
    chunk: int = 1 << 20
    flush: bool = False  # each file before the next
    suffix: str = ".locked"
    pace: float = 0.0
    first_writes: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not (self.root / corpus.MARKER).is_file():
            raise PermissionError(f"{self.root} is not a folder of the test bed")
        self.method = self.chance.choice(cipher.NAMES)
        self.chunk = self.chance.choice([64 << 10, 256 << 10, 1 << 20])
        self.flush = self.chance.random() < 0.4
        self.pace = self.chance.choice(PACES)
        self.suffix = self.chance.choice([".locked", ".enc", ".crypted", ".x9k"])

    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    def note(self, entry: corpus.Entry) -> None:
        """The first change that takes something of this file away, or its first encrypted bytes, come next."""
        with self._lock:
            self.first_writes.setdefault(entry.path, time.time_ns())

    def folders(self) -> dict[str, list[corpus.Entry]]:
        """All that have files, in an order of chance."""
        found: dict[str, list[corpus.Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.path.rpartition("/")[0], []).append(entry)
        return {folder: found[folder] for folder in self.chance.sample(sorted(found), len(found))}

    def walk(self) -> Iterator[corpus.Entry]:
        """As a program that lists folders meets them, until the time is over."""
        return self.until_over([entry for entries in self.folders().values() for entry in entries])

    def until_over(self, entries: list[corpus.Entry]) -> Iterator[corpus.Entry]:
        for entry in entries:
            begin = time.monotonic()
            if begin >= self.deadline:
                return
            yield entry
            time.sleep(max(0.0, self.pace * self.chance.uniform(0.6, 1.4) - (time.monotonic() - begin)))

    def cipher(self, entry: corpus.Entry) -> cipher.Cipher:
        return cipher.for_file(self.method, self.seed, entry.path)


def _sync(job: Job, descriptor: int) -> None:
    if job.flush:
        os.fsync(descriptor)


def _overwrite(job: Job, entry: corpus.Entry, stretches: list[tuple[int, int]] | None = None) -> None:
    """Reads and overwrites where the file lies: all of it, or stretches (offset, bytes)."""
    engine = job.cipher(entry)
    with open(job.root / entry.path, "r+b", buffering=0) as handle:
        for start, length in stretches or [(0, entry.bytes)]:
            for at in range(start, start + length, job.chunk):
                handle.seek(at)
                data = engine.encrypt(handle.read(min(job.chunk, start + length - at)))
                job.note(entry)
                handle.seek(at)
                handle.write(data)
        _sync(job, handle.fileno())
    engine.close()


def _copy(job: Job, entry: corpus.Entry, change: Callable[[bytes], bytes] = lambda data: data) -> None:
    engine = job.cipher(entry)
    source, target = job.root / entry.path, job.root / (entry.path + job.suffix)
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        while data := reader.read(job.chunk):
            job.note(entry)
            writer.write(engine.encrypt(change(data)))
        _sync(job, writer.fileno())
    engine.close()


def _wipe(job: Job, entry: corpus.Entry, passes: int) -> None:
    with open(job.root / entry.path, "r+b", buffering=0) as handle:
        for _ in range(passes):
            handle.seek(0)
            handle.write(job.chance.randbytes(entry.bytes))
            os.fsync(handle.fileno())


def _rename(job: Job, entry: corpus.Entry) -> None:
    os.rename(job.root / entry.path, job.root / (entry.path + job.suffix))


def _delete(job: Job, entry: corpus.Entry) -> None:
    os.unlink(job.root / entry.path)


def _each(job: Job, entries: Iterator[corpus.Entry], *steps: Callable[[Job, corpus.Entry], None]) -> None:
    for entry in entries:
        for step in steps:
            step(job, entry)


def in_place(job: Job) -> None:
    _each(job, job.walk(), _overwrite, _rename)


def copy_delete(job: Job) -> None:
    _each(job, job.walk(), _copy, _delete)


def copy_wipe(job: Job) -> None:
    passes = job.chance.choice([1, 1, 2])
    for entry in job.walk():
        _copy(job, entry)
        _wipe(job, entry, passes)
        _delete(job, entry)


def partial(job: Job) -> None:
    piece, gap = job.chance.choice([(4 << 10, 12 << 10), (16 << 10, 16 << 10), (64 << 10, 192 << 10), (8 << 10, 56 << 10)])
    for entry in job.walk():
        stretches = [(at, min(piece, entry.bytes - at)) for at in range(0, entry.bytes, piece + gap)]
        _overwrite(job, entry, stretches)
        _rename(job, entry)


def headers(job: Job) -> None:
    length = job.chance.choice([4 << 10, 16 << 10, 64 << 10])
    for entry in job.walk():
        _overwrite(job, entry, [(0, min(length, entry.bytes))])
        _rename(job, entry)


def slow(job: Job) -> None:
    pause = job.chance.uniform(0.3, 1.2)
    for entry in job.walk():
        _overwrite(job, entry)
        _rename(job, entry)
        time.sleep(pause * job.chance.uniform(0.5, 1.5))


def threads(job: Job) -> None:
    job.flush = False
    entries = job.walk()
    lock = threading.Lock()

    def next_entry() -> corpus.Entry | None:
        with lock:
            return next(entries, None)

    def work() -> None:
        while entry := next_entry():
            _overwrite(job, entry)
            _rename(job, entry)

    workers = [threading.Thread(target=work) for _ in range(job.chance.choice([4, 6, 8]))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def compress_encrypt(job: Job) -> None:
    for entry in job.walk():
        _copy(job, entry, lambda data: zlib.compress(data, 1))
        _delete(job, entry)


def by_name(job: Job) -> None:
    _each(job, job.until_over(sorted(job.entries, key=lambda entry: entry.path)), _overwrite)


def by_size(job: Job) -> None:
    _each(job, job.until_over(sorted(job.entries, key=lambda entry: -entry.bytes)), _overwrite, _rename)


def by_time(job: Job) -> None:
    _each(job, job.until_over(sorted(job.entries, key=lambda entry: -entry.modified)), _copy, _delete)


def rename_first(job: Job) -> None:
    for entries in job.folders().values():
        if job.over():
            return
        for entry in entries:
            _rename(job, entry)
        for entry in job.until_over(entries):
            _overwrite_mapped(job, entry)


def _overwrite_mapped(job: Job, entry: corpus.Entry) -> None:
    engine = job.cipher(entry)
    with open(job.root / (entry.path + job.suffix), "r+b") as handle, mmap.mmap(handle.fileno(), 0) as view:
        for at in range(0, entry.bytes, job.chunk):
            data = engine.encrypt(view[at:at + job.chunk])
            job.note(entry)
            view[at:at + len(data)] = data
        if job.flush:
            view.flush()
    engine.close()


def _tool(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def openssl_tool(job: Job) -> None:
    for entry in job.walk():
        path = job.root / entry.path
        job.note(entry)
        _tool("openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-iter", "1", "-pass", "pass:test-bed", "-in", path, "-out", f"{path}{job.suffix}")
        _wipe(job, entry, 1)
        _delete(job, entry)


def gpg_tool(job: Job) -> None:
    compression = job.chance.choice(["0", "1"])
    os.makedirs("/tmp/gnupg", mode=0o700, exist_ok=True)
    for entry in job.walk():
        path = job.root / entry.path
        job.note(entry)
        _tool("gpg", "--homedir", "/tmp/gnupg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "test-bed",
              "--s2k-count", "65536", "-z", compression, "--symmetric", "--output", f"{path}{job.suffix}", path)
        _delete(job, entry)


def seven_zip_tool(job: Job) -> None:
    for folder, entries in job.folders().items():
        for start in range(0, len(entries), 40):
            group = entries[start:start + 40]
            for entry in group:
                job.note(entry)
            _tool("7z", "a", "-mx1", "-ptest-bed", "-mhe=on", job.root / folder / f"files{start}.7z", *(job.root / entry.path for entry in group))
            for entry in group:
                _wipe(job, entry, 1)
                _delete(job, entry)
            if job.over():
                return


RUN: dict[str, Callable[[Job], None]] = {
    "in-place": in_place, "copy-delete": copy_delete, "copy-wipe": copy_wipe, "partial": partial, "headers": headers, "slow": slow,
    "threads": threads, "compress-encrypt": compress_encrypt, "by-name": by_name, "by-size": by_size, "by-time": by_time,
    "rename-first": rename_first, "openssl-tool": openssl_tool, "gpg-tool": gpg_tool, "7z-tool": seven_zip_tool,
}
