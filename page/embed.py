#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Builds the page with Vite in a folder of its own and writes what comes out as a C++ source (serve/assets.hpp)."""
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml", ".json": "application/json"}
SOURCES = ("index.html", "package.json", "tsconfig.json", "vite.config.ts", "src")


def build(source: Path, modules: Path, work: Path) -> Path:
    if not (modules / "vite").is_dir():
        sys.exit(f"{modules} lacks Vite: run tools/setup")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in SOURCES:
        if (source / name).is_dir():
            shutil.copytree(source / name, work / name)
        else:
            shutil.copy(source / name, work / name)
    (work / "node_modules").symlink_to(modules)
    for command in (["typescript/bin/tsc", "--noEmit"], ["vite/bin/vite.js", "build", "--logLevel", "warn"]):
        done = subprocess.run(["node", str(modules / command[0]), *command[1:]], cwd=work, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return work / "dist"


def literal(data: bytes) -> str:
    """Numbers, not a string: a compiler may limit the length of those."""
    numbers = [str(byte) for byte in data]
    return ",\n".join(",".join(numbers[i:i + 40]) for i in range(0, len(numbers), 40))


def source_text(dist: Path) -> str:
    lines = ["// Made by page/embed.py.", '#include "serve/assets.hpp"', "", "#include <array>", "", "namespace undercroft::serve {", "namespace {", ""]
    entries = []
    for number, path in enumerate(sorted(p for p in dist.rglob("*") if p.is_file())):
        data = path.read_bytes()
        lines += [f"constexpr unsigned char asset_{number}[] = {{", literal(data), "};"]
        entries.append(f'    Asset{{"/{path.relative_to(dist).as_posix()}", "{TYPES[path.suffix]}", '
                       f"{{reinterpret_cast<char const*>(asset_{number}), sizeof asset_{number}}}}},")
    lines += ["", "} // namespace", "", "std::span<Asset const> assets()", "{",
              f"    static std::array<Asset, {len(entries)}> const all{{", *entries, "    };", "    return all;", "}", "",
              "} // namespace undercroft::serve", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--modules", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    dist = build(options.source, options.modules, options.work)
    options.out.write_text(source_text(dist), encoding="ascii")


if __name__ == "__main__":
    main()
