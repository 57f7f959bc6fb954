# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Documents of mixed kinds and sizes, made by seed: the same seed gives the same files."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

MARKER = ".undercroft-test-corpus"
POOL_BYTES = 4 << 20
OLDEST, NEWEST = 1_600_000_000, 1_760_000_000
WORDS = ("the quick report about our yearly budget and plans for next season was sent to every member of staff who asked to see a copy "
         "before meeting them in person on monday morning with customers from abroad invoice delivery contract payment order number "
         "please find attached kind regards department house project").split()


@dataclass(frozen=True)
class Kind:
    """`share` of all files; sizes are log-normal: median and spread (sigma); `most` is the largest."""

    suffix: str
    share: float
    median: int
    spread: float
    most: int
    content: str  # text, table, packed, mixed, noise or zeros


KINDS = [
    Kind(".txt", 0.16, 4_000, 1.0, 200_000, "text"),
    Kind(".csv", 0.10, 12_000, 1.2, 1_500_000, "table"),
    Kind(".docx", 0.20, 24_000, 0.9, 1_500_000, "packed"),
    Kind(".xlsx", 0.10, 16_000, 1.0, 1_000_000, "packed"),
    Kind(".pdf", 0.14, 60_000, 1.1, 4_000_000, "mixed"),
    Kind(".jpg", 0.14, 90_000, 0.6, 1_500_000, "noise"),
    Kind(".c", 0.08, 5_000, 0.9, 80_000, "text"),
    Kind(".db", 0.03, 80_000, 0.9, 2_000_000, "database"),
    Kind(".wav", 0.03, 200_000, 0.7, 4_000_000, "sound"),
    Kind(".mp4", 0.02, 900_000, 0.8, 8_000_000, "noise"),
]


@dataclass(frozen=True)
class Entry:
    path: str  # below the corpus folder
    bytes: int
    modified: int
    sha256: str


class Pools:
    """Stretches of each kind of content, from which files are cut."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        noise = chance.randbytes(POOL_BYTES)
        text = self._text(POOL_BYTES // 2)
        self._pools = {"text": text, "table": self._table(POOL_BYTES // 2), "noise": noise,
                       "packed": zlib.compress(text, 6) + noise[:POOL_BYTES // 2],
                       "mixed": b"".join(noise[at:at + 3500] + text[at % (1 << 20):][:700] for at in range(0, POOL_BYTES - 4200, 3500)),
                       "database": b"".join(text[at:at + 2800] + bytes(1296) for at in range(0, POOL_BYTES // 2 - 2800, 2800)),
                       "sound": self._sound(POOL_BYTES // 2)}

    def take(self, content: str, size: int) -> bytes:
        pool = self._pools[content]
        at = self._chance.randrange(len(pool))
        data = pool[at:at + size]
        while len(data) < size:
            data += pool[:size - len(data)]
        return data

    def _text(self, size: int) -> bytes:
        lines = [" ".join(self._chance.choices(WORDS, k=12)).encode() for _ in range(4000)]
        return b"\n".join(lines[self._chance.randrange(4000)] for _ in range(size // 60))[:size]

    def _table(self, size: int) -> bytes:
        return "".join(f"{number},{self._chance.randrange(10**6)},{self._chance.random() * 1000:.2f},2024-{number % 12 + 1:02d}-{number % 28 + 1:02d},open\n"
                       for number in range(size // 34)).encode()[:size]

    def _sound(self, size: int) -> bytes:
        wave = [int(9000 * math.sin(step / 23) + 4000 * math.sin(step / 7.3)) for step in range(20_000)]
        noise = self._chance.randbytes(20_000)
        piece = b"".join((value + noise[index] & 0xffff).to_bytes(2, "little") for index, value in enumerate(wave))
        return (piece * (size // len(piece) + 1))[:size]


def _folders(chance: random.Random) -> list[str]:
    topics = ["documents", "pictures", "projects", "accounts", "letters", "music", "archive", "desktop", "downloads"]
    names = ["alpha", "north", "2021", "2022", "2023", "old", "team", "private", "clients", "spring", "drafts", "final"]
    found = []
    for topic in topics:
        found.append(topic)
        found += [f"{topic}/{name}" for name in chance.sample(names, chance.randint(3, 7))]
    return found


def make(root: Path, seed: int, files: int) -> list[Entry]:
    """Fills `root` and returns what is in it."""
    chance = random.Random(f"corpus {seed}")
    pools = Pools(chance)
    folders = _folders(chance)
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / MARKER).write_text("Made by the test bed. Its encryptors touch files below this folder only.\n", encoding="ascii")
    kinds = chance.choices(KINDS, weights=[kind.share for kind in KINDS], k=files)
    return [_make_file(root, chance, pools, kind, f"{chance.choice(folders)}/{chance.choice(WORDS)}-{chance.choice(WORDS)}-{number}{kind.suffix}")
            for number, kind in enumerate(kinds)]


def _make_file(root: Path, chance: random.Random, pools: Pools, kind: Kind, path: str) -> Entry:
    size = min(kind.most, max(120, int(chance.lognormvariate(math.log(kind.median), kind.spread))))
    data = pools.take(kind.content, size)
    if kind.content in ("packed", "noise"):
        data = {".docx": b"PK\x03\x04", ".xlsx": b"PK\x03\x04", ".jpg": b"\xff\xd8\xff\xe0", ".mp4": b"\0\0\0\x20ftyp"}[kind.suffix] + data[8:]
    modified = chance.randrange(OLDEST, NEWEST)
    with open(root / path, "wb") as handle:
        handle.write(data)
    os.utime(root / path, (modified, modified))
    return Entry(path, len(data), modified, hashlib.sha256(data).hexdigest())


def write_manifest(entries: list[Entry], path: Path) -> None:
    path.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")


def read_manifest(path: Path) -> list[Entry]:
    return [Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
