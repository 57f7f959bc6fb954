# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Include folders and definitions of each part, from CMake's compile_commands.json."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tools.lint.sources import ROOT

_KEPT = ("-I", "-isystem", "-D")


def _flags(command: str) -> list[str]:
    words = shlex.split(command)
    kept: list[str] = []
    for index, word in enumerate(words):
        if word == "-isystem":
            kept += [word, words[index + 1]]
        elif word.startswith(_KEPT[0]) or word.startswith(_KEPT[2]):
            kept.append(word)
    return kept


class CompileCommands:
    """The first hosted command of each of our sources, and the union of flags of each part."""

    def __init__(self, build: Path) -> None:
        self._directory = build
        self.hosted: dict[Path, str] = {}
        self._parts: dict[str, list[str]] = {}
        for entry in json.loads((build / "compile_commands.json").read_text()):
            file = Path(entry["file"])
            if not file.is_relative_to(ROOT) or file.is_relative_to(build):
                continue
            path = file.relative_to(ROOT)
            if "-ffreestanding" not in entry["command"]:
                self.hosted.setdefault(path, entry["command"])
            self._merge(path.parts[0], _flags(entry["command"]))

    def _merge(self, part: str, flags: list[str]) -> None:
        known = self._parts.setdefault(part, [])
        index = 0
        while index < len(flags):
            item = flags[index:index + 2] if flags[index] == "-isystem" else flags[index:index + 1]
            index += len(item)
            if item[-1] not in known and "FREESTANDING" not in item[-1]:
                known += item

    def write_hosted(self, folder: Path) -> None:
        """A compile_commands.json with one command a file: each is compiled plainly and for tests."""
        folder.mkdir(parents=True, exist_ok=True)
        entries = [{"directory": str(self._directory), "file": str(ROOT / path), "command": command}
                   for path, command in self.hosted.items()]
        (folder / "compile_commands.json").write_text(json.dumps(entries))

    def of_part(self, path: Path) -> list[str]:
        return self._parts.get(path.parts[0], [f"-I{ROOT}"])
