# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Debian packages that guests boot from: downloaded with apt and unpacked into the cache, never installed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import cache


class PackageError(Exception):
    """A package could not be found, downloaded or unpacked."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    deb_sha256: str
    tree: Path

    def only(self, folder: str, pattern: str) -> Path:
        """The one file that matches."""
        found = sorted((self.tree / folder).glob(pattern))
        if len(found) != 1:
            raise PackageError(f"expected one {folder}/{pattern} in {self.name}, found {len(found)}")
        return found[0]


def unpacked(wanted: str, follow: str = "") -> Package:
    """The package in the cache, fetched first if it is not there.

    With `follow`, `wanted` is an empty package and the dependency that matches this pattern is meant.
    """
    parent = cache.root() / "testbed" / "packages"
    record = parent / f"{wanted}.json"
    with cache.lock("testbed-packages"):
        if not record.is_file():
            parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(_fetch(_dependency(wanted, follow) if follow else wanted, parent)), encoding="utf-8")
        facts = json.loads(record.read_text(encoding="utf-8"))
    return Package(facts["name"], facts["version"], facts["deb_sha256"], Path(facts["tree"]))


def _fetch(name: str, parent: Path) -> dict[str, str]:
    work = parent / f"{name}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    # APT::Sandbox::User=root: the cache folder need not be readable for apt's own user.
    result = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], cwd=work,
                            capture_output=True, text=True, check=False)
    debs = list(work.glob("*.deb"))
    if result.returncode != 0 or len(debs) != 1:
        raise PackageError(f"could not download {name}: {result.stderr.strip()}")
    version = subprocess.run(["dpkg-deb", "-f", str(debs[0]), "Version"], capture_output=True, text=True,
                             check=True).stdout.strip()
    sha256 = hashlib.sha256(debs[0].read_bytes()).hexdigest()
    tree = parent / f"{name}_{version}"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", str(debs[0]), str(tree)], check=True)
    shutil.rmtree(work)
    return {"name": name, "version": version, "deb_sha256": sha256, "tree": str(tree)}


def _dependency(meta_package: str, pattern: str) -> str:
    output = subprocess.run(["apt-cache", "depends", meta_package], capture_output=True, text=True, check=False).stdout
    match = re.search(rf"Depends: ({pattern})", output)
    if not match:
        raise PackageError(f"apt does not know {meta_package}: run `apt-get update`, or add Debian 12's main archive")
    return match.group(1)
