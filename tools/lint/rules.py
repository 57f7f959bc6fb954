# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Rules of this repository that no general tool knows: layers, registered tests, words, licence lines."""

from __future__ import annotations

import re
from pathlib import Path

from tools.lint import sources

# Includes go one way. Tests and fuzzers may use test doubles of the parts that their own may see.
LAYERS: dict[str, set[str]] = {
    "base": set(),
    "wire": {"base"},
    "hypervisor": {"base", "wire"},
    "collector": {"base", "wire", "control_cli"},
    "analysis": {"base", "wire"},
    "control_cli": {"base", "wire"},
    "ucctl": {"base", "wire", "control_cli"},
    "serve": {"base", "wire", "control_cli", "collector", "analysis"},
    "program": {"base", "wire", "collector", "analysis", "serve", "ucctl"},
}
# Joins that are meant: a test that drives one part with another one; what follows a running collector.
JOINS: set[tuple[str, str]] = {("ucctl/tests", "hypervisor"), ("analysis/live", "collector")}

_LICENCE = "Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0"
_NO_LICENCE_LINE = {".md", ".png", ".json", ""}

_OUTSIDE = re.compile(r"(?<![\w.$})/])/(?:work|root|home|Users)/")
_HOSTS = re.compile(r"\b(?:(?:deb|security|ftp|snapshot)\.debian\.org|pypi\.org|files\.pythonhosted\.org|"
                    r"registry\.npmjs\.org|crates\.io|proxy\.golang\.org|docker\.io|ghcr\.io|quay\.io)\b")


def layers() -> list[str]:
    problems = []
    for path in sources.cpp():
        allowed = LAYERS.get(path.parts[0])
        if allowed is None:
            continue
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', sources.text(path), re.MULTILINE):
            target = name.split("/")[0]
            if target not in LAYERS or target == path.parts[0] or target in allowed:
                continue
            if any(str(path).startswith(folder) and target == other for folder, other in JOINS):
                continue
            problems.append(f"{path}: {path.parts[0]} must not include {name}")
    return problems


def registration() -> list[str]:
    """Each test and fuzzer is named by the build, so that none is written and never run."""
    builds = "\n".join(sources.text(path) for path in sources.files() if path.name == "CMakeLists.txt")
    problems = []
    for path in sources.files():
        name = path.name
        is_cpp = name.endswith(("_test.cpp", "_fuzz.cpp"))
        is_python = path.suffix == ".py" and (name.startswith("test_") or name.endswith("_test.py"))
        if not is_cpp and not is_python:
            continue
        stem = name.removesuffix(".py").removeprefix("test_").removesuffix("_test")
        wanted = re.escape(name) if is_cpp else rf"\b{re.escape(stem)}\b"
        if re.search(wanted, builds) is None:
            problems.append(f"{path}: no CMakeLists.txt names it")
    return problems


def words() -> list[str]:
    problems = []
    for path in sources.files():
        if path == Path("tools/lint/rules.py") or path.suffix == ".png":
            continue
        for number, line in enumerate(sources.text(path).splitlines(), 1):
            if _OUTSIDE.search(line):
                problems.append(f"{path}:{number}: a path outside the repository: {line.strip()}")
            if _HOSTS.search(line):
                problems.append(f"{path}:{number}: a registry's host name: {line.strip()}")
    return problems


def licences() -> list[str]:
    wanted = [path for path in sources.files()
              if (path.suffix not in _NO_LICENCE_LINE or path.name == "Makefile")
              and not path.name.startswith(".") and sources.text(path).strip()]
    wanted += sources.scripts("python3", "bash", "sh")
    return [f"{path}: no licence line" for path in sorted(set(wanted))
            if _LICENCE not in "\n".join(sources.text(path).split("\n")[:5])]
