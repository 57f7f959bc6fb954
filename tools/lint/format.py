# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`make format`: clang-format over all of our C and C++."""

from __future__ import annotations

import subprocess
import sys

from tools.lint import sources

if __name__ == "__main__":
    sys.exit(subprocess.run(["clang-format-19", "-i", *map(str, sources.cpp())], cwd=sources.ROOT, check=False).returncode)
