# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Runs the program under test (first argument of the test script) and its tests."""
from __future__ import annotations

import subprocess
import sys
import unittest

PROGRAM = ""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Output and exit code; a crash or a sanitizer report is a failure of the test."""
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=120)
    if result.returncode not in (0, 1) or "Sanitizer" in result.stderr or "runtime error" in result.stderr:
        raise AssertionError(f"{arguments}: exit code {result.returncode}\n{result.stderr[-4000:]}")
    return result


def good(*arguments: object) -> str:
    """Standard output of a run that must succeed."""
    result = run(*arguments)
    if result.returncode != 0:
        raise AssertionError(f"{arguments}: {result.stderr}")
    return result.stdout


def bad(*arguments: object) -> str:
    """The error message of a run that must fail."""
    result = run(*arguments)
    if result.returncode != 1 or "error:" not in result.stderr:
        raise AssertionError(f"{arguments}: exit code {result.returncode}, {result.stderr}")
    return result.stderr


def main() -> None:
    """Takes the program's path off the command line and runs the calling script's tests."""
    global PROGRAM
    PROGRAM = sys.argv.pop(1)
    unittest.main(module="__main__")
