# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Things that take long to make are made once and kept under a key of all that went into them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parent


def root() -> Path:
    """The cache folder, the same one that tools/setup uses."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undercroft"
    path = Path(os.environ.get("UNDERCROFT_CACHE") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def key(*parts: object) -> str:
    """A short name for a combination of inputs. Paths stand for their contents, or, if large, for size and time."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_describe(part))
        digest.update(b"\0")
    return digest.hexdigest()[:20]


def _describe(part: object) -> bytes:
    if not isinstance(part, Path):
        return repr(part).encode()
    status = part.stat()
    if status.st_size > 1 << 20:
        return f"{part}:{status.st_size}:{status.st_mtime_ns}".encode()
    return part.read_bytes()


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Keeps two runs from making the same thing at the same time."""
    with open(root() / f"{name}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """Returns the folder for `kind` and `name`, calling `make(folder)` once to fill it.

    Older folders of the same kind are removed, apart from the most recent eight.
    """
    parent = root() / "testbed" / kind
    final = parent / name
    if final.is_dir():
        return final
    parent.mkdir(parents=True, exist_ok=True)
    with lock(f"testbed-{kind}"):
        if final.is_dir():
            return final
        work = parent / f".{name}.tmp"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        make(work)
        work.rename(final)
        _remove_old(parent, keep=final)
    return final


def _remove_old(parent: Path, keep: Path) -> None:
    others = [entry for entry in parent.iterdir() if entry != keep and not entry.name.startswith(".")]
    others.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in others[8:]:
        shutil.rmtree(entry, ignore_errors=True)
