# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Debian's stock kernel and its modules."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from . import debian


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
    """What linux-image-amd64 stands for today, or stood for when it was fetched into the cache."""
    package = debian.unpacked("linux-image-amd64", follow=r"linux-image-[0-9]\S*")
    return Kernel(package.name, package.version, package.deb_sha256, package.only("boot", "vmlinuz-*"),
                  package.only("lib/modules", "*"))


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
