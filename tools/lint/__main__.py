# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`make lint`: every check that needs no running program. Names on the command line choose some of them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.lint import rules, sources
from tools.lint.compile_flags import CompileCommands
from tools.lint.parallel import Job, run

Check = Callable[[], list[str]]
COMPILER = "clang++-19"


def _tool(command: list[str], paths: list[Path]) -> list[str]:
    done = subprocess.run(command + [str(path) for path in paths], cwd=sources.ROOT, capture_output=True, text=True,
                          check=False)
    return [] if done.returncode == 0 else [(done.stdout + done.stderr).rstrip()]


def check_format() -> list[str]:
    return _tool(["clang-format-19", "--dry-run", "--Werror"], sources.cpp())


def check_python() -> list[str]:
    paths = sorted(set(sources.with_suffix(".py")) | set(sources.scripts("python3")))
    problems = []
    for path in paths:
        try:
            compile(sources.text(path), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            problems.append(f"{path}:{error.lineno}: {error.msg}")
    return problems + _tool(["pyflakes3"], paths)


def check_shell() -> list[str]:
    return _tool(["shellcheck", "--external-sources"], sources.scripts("bash", "sh"))


def check_headers(build: Path, workers: int) -> list[str]:
    """Each header compiles alone. Where a source includes its header first, the build has shown it."""
    commands = CompileCommands(build)
    jobs = []
    for path in sources.with_suffix(".hpp"):
        own = path.with_suffix(".cpp")
        if own in commands.hosted and sources.includes(own)[:1] == [path]:
            continue
        command = [COMPILER, "-std=c++23", "-fsyntax-only", "-x", "c++", "-Wno-pragma-once-outside-header",
                   *commands.of_part(path), str(path)]
        jobs.append(Job(path, command, sources.digest(path, *command)))
    return run("headers", jobs, build / "lint", workers)


def check_tidy(build: Path, workers: int) -> list[str]:
    """Without tests: GoogleTest's headers alone take longer than all the rest."""
    commands = CompileCommands(build)
    commands.write_hosted(build / "lint")
    settings = sources.text(Path(".clang-tidy"))
    jobs = []
    for path, compile_command in sorted(commands.hosted.items()):
        if path.suffix == ".cpp" and not {"tests", "fuzz"} & set(path.parts):
            command = ["clang-tidy-19", "--quiet", "--warnings-as-errors=*", "-p", str(build / "lint"), str(path)]
            jobs.append(Job(path, command, sources.digest(path, compile_command, settings)))
    return run("tidy", jobs, build / "lint", workers)


def main() -> int:
    parser = argparse.ArgumentParser(prog="lint", description=__doc__)
    parser.add_argument("names", nargs="*", help="checks to run (default: all)")
    parser.add_argument("--build", type=Path, default=sources.ROOT / "build", help="a configured build folder")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    checks: dict[str, Check] = {
        "licences": rules.licences,
        "words": rules.words,
        "layers": rules.layers,
        "registration": rules.registration,
        "python": check_python,
        "shell": check_shell,
        "format": check_format,
        "headers": partial(check_headers, build, arguments.jobs),
        "tidy": partial(check_tidy, build, arguments.jobs),
    }
    if unknown := [name for name in arguments.names if name not in checks]:
        parser.error(f"no such check: {', '.join(unknown)} (there are {', '.join(checks)})")
    failed = []
    for name in arguments.names or checks:
        begin = time.monotonic()
        problems = checks[name]()
        for problem in problems:
            print(problem)
        print(f"lint: {name}: {'FAILED' if problems else 'ok'} ({time.monotonic() - begin:.1f} s)", flush=True)
        if problems:
            failed.append(name)
    if failed:
        print(f"lint: failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
