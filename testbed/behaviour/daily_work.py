# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What people and their programs do with documents, and what happens when nobody does anything."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import time
import zlib
from pathlib import Path

from . import corpus
from .job import Job


def sqlite(job: Job) -> None:
    number = 0
    while not job.over():
        path = job.room / f"data{number % 4}.sqlite"
        number += 1
        connection = sqlite3.connect(path)
        connection.execute(f"pragma journal_mode={job.chance.choice(['wal', 'delete'])}")
        connection.execute("create table if not exists orders (id integer primary key, name text, payload blob)")
        for _ in range(job.chance.randint(5, 25)):
            with connection:
                connection.executemany("insert into orders (name, payload) values (?, ?)",
                                       [(f"order {job.chance.random()}", job.chance.randbytes(job.chance.randint(20, 3000))) for _ in range(40)])
                connection.execute("update orders set name = name || 'x' where id % 7 = ?", (job.chance.randrange(7),))
            if job.over():
                break
        with connection:
            connection.execute("delete from orders where id % 5 = 0")
        connection.execute("vacuum")
        connection.close()


def transcode(job: Job) -> None:
    """Reads in a stream, writes what is incompressible at a fraction of the size; an index is rewritten now and then."""
    sources = job.files(".mp4", ".wav")
    rate = job.chance.uniform(1.5e6, 6e6)
    output = job.room / "film.mkv"
    with open(output, "wb", buffering=0) as writer, open(job.room / "film.idx", "w+b", buffering=0) as index:
        while not job.over():
            for entry in job.chance.sample(sources, len(sources)):
                with open(job.root / entry.path, "rb", buffering=0) as reader:
                    while data := reader.read(256 << 10):
                        writer.write(job.chance.randbytes(max(1, len(data) // job.chance.choice([2, 3, 5]))))
                        index.seek(0)
                        index.write(writer.tell().to_bytes(8, "little") * 32)
                        time.sleep(len(data) / rate)
                        if job.over():
                            return


def browse(job: Job) -> None:
    cache = job.room / "cache"
    cache.mkdir()
    history = sqlite3.connect(job.room / "history.sqlite")
    history.execute("create table visits (id integer primary key, url text, seen real)")
    kept: list[Path] = []
    page = corpus.Pools(random.Random(job.seed))
    while not job.over():
        for _ in range(job.chance.randint(5, 40)):
            path = cache / f"{job.chance.getrandbits(80):020x}"
            size = int(min(2e6, job.chance.lognormvariate(9.3, 1.3)))
            path.write_bytes(zlib.compress(page.take("text", size), 6) if job.chance.random() < 0.5 else page.take("noise", size))
            kept.append(path)
        with history:
            history.execute("insert into visits (url, seen) values (?, ?)", (f"https://site{job.chance.randrange(99)}.example/", time.time()))
        while len(kept) > 400:
            kept.pop(job.chance.randrange(len(kept))).unlink()
        for path in job.chance.sample(kept, min(10, len(kept))):
            path.read_bytes()
        time.sleep(job.chance.expovariate(1.5))
    history.close()


def office(job: Job) -> None:
    """Documents are opened, changed and saved as office programs do: a new file, renamed over the old one."""
    documents = job.files(".docx", ".xlsx", ".txt", ".csv")
    while not job.over():
        entry = job.chance.choice(documents)
        path = job.root / entry.path
        data = bytearray(path.read_bytes())
        at = job.chance.randrange(max(1, len(data)))
        data[at:at + 40] = job.chance.randbytes(60) if entry.path.endswith(("docx", "xlsx")) else b" some more words "
        temporary = path.with_name(f".~{path.name}")
        with open(temporary, "wb") as handle:
            handle.write(data)
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        job.changed[entry.path] = hashlib.sha256(data).hexdigest()
        time.sleep(job.chance.expovariate(1.2))


def photo_edit(job: Job) -> None:
    """Pictures turned or brightened in a batch: each is read, and its new form saved in its place."""
    pictures = job.files(".jpg")
    pause = job.chance.choice([0.1, 0.4, 1.0])
    for entry in job.chance.sample(pictures, len(pictures)):
        if job.over():
            return
        path = job.root / entry.path
        data = path.read_bytes()
        with open(path, "wb") as handle:
            handle.write(data[:600] + job.chance.randbytes(int(len(data) * job.chance.uniform(0.8, 1.1))))
        time.sleep(pause * job.chance.uniform(0.5, 1.5))


def idle(job: Job) -> None:
    while not job.over():
        time.sleep(min(job.left(), job.chance.uniform(3, 8)))
        with open(job.room / "syslog", "a", encoding="ascii") as log:
            log.write(f"{time.time():.3f} timer: nothing to do\n")


def light_use(job: Job) -> None:
    while not job.over():
        folder = job.root / job.chance.choice(job.folders())
        paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
        for path in job.chance.sample(paths, min(len(paths), job.chance.randint(1, 6))):
            data = path.read_bytes()
            if job.chance.random() < 0.15:
                path.write_bytes(data + b"\nadded\n")
            time.sleep(job.chance.expovariate(2))
        time.sleep(job.chance.uniform(0.5, 4))
