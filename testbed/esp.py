# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""EFI system partitions: a GPT disk image with one FAT32 partition, filled by mtools (no root, no mounting)."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path

from . import nvram

SECTOR = 512
FIRST_SECTOR = 2048
PARTITION_GUID = uuid.UUID("756e6465-7263-726f-6674-000000000001")
DISK_GUID = uuid.UUID("756e6465-7263-726f-6674-000000000000")
# The same dates in the same image: firmware's work on them would differ from run to run.
_ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}


def partition(size_mib: int) -> nvram.Partition:
    """Where the ESP lies in an image of this size. The last MiB holds the backup GPT."""
    return nvram.Partition(1, FIRST_SECTOR, (size_mib - 2) * 2048, PARTITION_GUID)


def create(image: Path, size_mib: int) -> None:
    """A new disk image with an empty FAT32 partition."""
    where = partition(size_mib)
    with open(image, "wb") as handle:
        handle.truncate(size_mib << 20)
    table = (f"label: gpt\nlabel-id: {DISK_GUID}\nunit: sectors\n"
             f"start={where.first_sector}, size={where.sectors}, type=U, uuid={where.guid}\n")
    subprocess.run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(image)], input=table, text=True, check=True)
    subprocess.run(["mformat", "-i", _mtools(image), "-F", "-N", "00000000", "-v", "UNDERCROFT",
                    "-T", str(where.sectors), "-h", "16", "-s", "63", "-H", str(where.first_sector), "::"], check=True,
                   env=_ENVIRONMENT)


def put(image: Path, files: dict[str, Path]) -> None:
    """Copies files into the partition; keys are paths there with slashes."""
    made: set[str] = set()
    for name, source in files.items():
        parts = Path(name).parts[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder in made:
                continue
            made.add(folder)
            # "-D s": skip silently what exists already.
            subprocess.run(["mmd", "-D", "s", "-i", _mtools(image), f"::{folder}"], check=False,
                           env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-o", "-i", _mtools(image), str(source), f"::{name}"], check=True,
                       env=_ENVIRONMENT, stdin=subprocess.DEVNULL)


def copy_image(source: Path, target: Path) -> None:
    """A sparse copy, by reference where the file system can."""
    if shutil.which("cp"):
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", str(source), str(target)], check=True)
    else:
        shutil.copyfile(source, target)
    os.chmod(target, 0o644)


def _mtools(image: Path) -> str:
    return f"{image}@@{FIRST_SECTOR * SECTOR}"
