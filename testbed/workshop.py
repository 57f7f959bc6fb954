# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The tools disk of the workloads that a detector learns from: the usual one, and whole programs from Debian packages.

Packages are downloaded by name and unpacked, never installed on this host. Some of them come along packed again, for the guest to
"upgrade" to.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from . import cache, debian, guest, kernel

PACKAGES = ["python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libffi8", "libsqlite3-0", "libexpat1", "zlib1g",
            "libssl3", "libbz2-1.0", "liblzma5",
            "ntfs-3g", "libntfs-3g89", "cryptsetup-bin", "libcryptsetup12", "libpopt0", "libdevmapper1.02.1", "libjson-c5", "libargon2-1",
            "git", "libpcre2-8-0", "libcurl3-gnutls", "coreutils", "xz-utils", "rsync", "libxxhash0", "sqlite3", "age", "ccrypt", "tcc", "dpkg",
            "postgresql-15", "libpq5", "libicu72", "libllvm14", "libldap-2.5-0", "libxml2", "libxslt1.1"]
UPGRADES = ["rsync", "ccrypt", "ntfs-3g", "age", "libpython3.11-stdlib", "sqlite3"]
# Of no use to the guest, and most of the bytes.
LEFT_OUT = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/gitweb", "usr/lib/python3.11/test",
            "usr/lib/python3.11/idlelib", "usr/lib/postgresql/15/lib/bitcode", "usr/share/postgresql/15/man", "etc", "var", "lib/systemd"]
FOLDERS_WITHOUT_USR = ("bin", "sbin", "lib", "lib64")
MODULES = ["fuse", "dm-mod", "dm-crypt", "xts", "aesni-intel", "af_alg", "algif_skcipher", "loop"]


def image() -> Path:
    """A cached ext4 image that is used in place of guest.tools_disk()."""
    linux = kernel.stock()
    packages = [debian.unpacked(name) for name in PACKAGES]
    plain = guest.tools_disk()
    name = cache.key("workshop 1", plain, [(package.name, package.version) for package in packages], UPGRADES, LEFT_OUT, MODULES,
                     linux.version, Path(__file__))
    return cache.build("workshop", name, lambda folder: _make(folder, linux, packages)) / "tools.img"


def _make(folder: Path, linux: kernel.Kernel, packages: list[debian.Package]) -> None:
    tree = folder / "tree"
    upgrades = tree / "upgrades"
    upgrades.mkdir(parents=True)
    for package in packages:
        if package.name in UPGRADES:
            _pack(package, upgrades, folder / "pack")
        _merge(package.tree, tree)
    guest.add_programs(tree)
    _check_libraries(tree)
    order = kernel.module_order(linux.modules, MODULES)
    (tree / "modules").mkdir()
    for module in order:
        shutil.copy2(module, tree / "modules" / module.name)
    (tree / "modules/order").write_text("".join(f"{module.name}\n" for module in order), encoding="ascii")
    guest.pack_disk(tree, folder / "tools.img")


def _merge(source: Path, tree: Path) -> None:
    """Copies a package's files; what Debian 12 reaches through links into /usr goes there."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source).as_posix()
        if path.is_dir() and not path.is_symlink() or any(relative.startswith(f"{prefix}/") for prefix in LEFT_OUT):
            continue
        target = tree / ("usr" if relative.split("/", 1)[0] in FOLDERS_WITHOUT_USR else "") / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)


def _pack(package: debian.Package, into: Path, work: Path) -> None:
    """A package of the same files, packed quickly and without scripts."""
    shutil.copytree(package.tree, work, symlinks=True)
    (work / "DEBIAN").mkdir()
    for version in ("1", "2"):
        control = f"Package: {package.name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Undercroft <undercroft@localhost>\nDescription: files of {package.name}\n"
        (work / "DEBIAN/control").write_text(control, encoding="ascii")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", str(work), str(into / f"{package.name}_{version}.deb")],
                       check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(work)


def _check_libraries(tree: Path) -> None:
    """Every library that the packages' programs need is there; those of this host fill the gaps."""
    folder = tree / "usr/lib/x86_64-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    for path in sorted(tree.rglob("*")):
        if path.is_symlink() or not path.is_file() or not (os.access(path, os.X_OK) or ".so" in path.name) or path.read_bytes()[:4] != b"\x7fELF":
            continue
        output = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False, env=environment).stdout
        missing = re.findall(r"(\S+) => not found", output)
        if missing:
            raise guest.GuestError(f"{path.relative_to(tree)} needs {', '.join(missing)}: a package is missing from testbed/workshop.py")
        for match in re.findall(r"(/\S+) \(0x", output):
            library = Path(match)
            if folder in library.parents:
                continue
            target = tree / "usr" / str(library).removeprefix("/usr").lstrip("/")
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(library, target)
