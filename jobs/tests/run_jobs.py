# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Runs several jobs, each with its own command line, in one Spark: starting it takes longer than the jobs.

spark-submit run_jobs.py FILE, which holds a JSON list of command lines: ["features", "hdfs://...", "--out", "..."].
"""
from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    for name, *options in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        sys.argv[1:] = options
        importlib.import_module(name).main()
        print(f"done: {name}", flush=True)


if __name__ == "__main__":
    main()
