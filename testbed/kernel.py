# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Debian's stock kernel, downloaded with apt and unpacked into the cache; nothing is installed on the host."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from . import cache

META_PACKAGE = "linux-image-amd64"


class KernelError(Exception):
    """The kernel package could not be found or unpacked."""


@dataclass(frozen=True)
class Kernel:
    package: str
    version: str
    deb_sha256: str
    image: Path
    modules: Path

    def describe(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def stock() -> Kernel:
    """The kernel in the cache, fetched first if there is none."""
    parent = cache.root() / "testbed" / "kernel"
    with cache.lock("testbed-kernel"):
        record = parent / "current.json"
        if not record.is_file():
            _fetch(parent, record)
        facts = json.loads(record.read_text(encoding="utf-8"))
    return Kernel(facts["package"], facts["version"], facts["deb_sha256"], Path(facts["image"]), Path(facts["modules"]))


def _fetch(parent: Path, record: Path) -> None:
    package = _concrete_package()
    work = parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # APT::Sandbox::User=root: the cache folder need not be readable for apt's own user.
    result = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], cwd=work,
                            capture_output=True, text=True, check=False)
    debs = list(work.glob("*.deb"))
    if result.returncode != 0 or len(debs) != 1:
        raise KernelError(f"could not download {package}: {result.stderr.strip()}")
    deb = debs[0]
    version = subprocess.run(["dpkg-deb", "-f", str(deb), "Version"], capture_output=True, text=True,
                             check=True).stdout.strip()
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    tree = parent / f"{package}_{version}"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", str(deb), str(tree)], check=True)
    shutil.rmtree(work)
    facts = {"package": package, "version": version, "deb_sha256": sha256,
             "image": str(_only(tree / "boot", "vmlinuz-*")), "modules": str(_only(tree / "lib/modules", "*"))}
    record.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _concrete_package() -> str:
    output = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Depends: (linux-image-[0-9]\S*)", output)
    if not match:
        raise KernelError(f"apt does not know {META_PACKAGE}: run `apt-get update`, or add Debian 12's main archive")
    return match.group(1)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise KernelError(f"expected one {pattern} in {folder}, found {len(found)}")
    return found[0]


def module_order(modules: Path, wanted: list[str]) -> list[Path]:
    """Files of the wanted modules and of all that they need, in loading order.

    Dependencies are read from the modules themselves (".modinfo" holds "depends=a,b"), so depmod is not needed.
    Modules that are built into the kernel are left out.
    """
    files = {path.name.removesuffix(".ko").replace("-", "_"): path for path in modules.rglob("*.ko")}
    order: list[Path] = []

    def visit(name: str) -> None:
        path = files.get(name.replace("-", "_"))
        if path is None or path in order:
            return
        match = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for needed in (match.group(1).decode().split(",") if match else []):
            visit(needed)
        order.append(path)

    for name in wanted:
        visit(name)
    return order
