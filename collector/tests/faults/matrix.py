#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The fault matrix: after each fault the store equals what the sensors sent, each record exactly once.

usage: matrix.py BIN_FOLDER [CASE ...] [--soak] [--results FILE] [--keep]

Paths: with root and network namespaces a cable of its own, with tc netem on it where the kernel has it; otherwise the
fault proxy on loopback (testbed/faults.py) drops, repeats, reorders and delays. Exit code 77: nothing could be run.
"""
from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from collector.tests.faults import network_cases as net, storage_cases as own  # noqa: E402
from collector.tests.faults.rig import RigError  # noqa: E402
from collector.tests.faults.setting import Case, Matrix, Skip  # noqa: E402

SKIPPED = 77


CASES: dict[str, Case] = {
    "loss-0.1": net.loss(0.1), "loss-5": net.loss(5), "loss-30": net.loss(30), "reorder": net.reorder, "duplicate": net.duplicate,
    "delay-200ms": net.delay, "everything": net.everything, "bandwidth": net.bandwidth, "partition": net.partition,
    "strangers": net.strangers, "replay": net.replay, "64-sensors": net.many_sensors, "kill": own.kill, "kill-content": own.kill_content, "disk-full": own.disk_full,
    "read-only": own.read_only, "half-file": own.half_file, "slow-disk": own.slow_disk, "clock": own.clock, "clock-jump": own.clock_jump,
}


def show(name: str, result: dict[str, object], seconds: float) -> None:
    figures = ", ".join(f"{key} {result[key]}" for key in ("stored_rows", "stored_gap_records", "resent", "timeouts", "refused", "sent_over_useful")
                        if key in result)
    print(f"{name}: {result['path']}; {figures}; {seconds:.1f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--soak", action="store_true", help="200 kills, a partition of 60 s")
    parser.add_argument("--results", type=Path, help="also as JSON here")
    parser.add_argument("--keep", action="store_true", help="keep stores and logs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="undercroft-faults-"))
    results: dict[str, object] = {}
    failed = skipped = 0
    for name in options.cases or CASES:
        started = time.monotonic()
        matrix = Matrix(options.programs.resolve(), folder / name, options.soak)
        try:
            result = CASES[name](matrix)
            results[name] = {**result, "case_seconds": round(time.monotonic() - started, 1)}
            show(name, result, time.monotonic() - started)
        except Skip as why:
            skipped += 1
            print(f"{name}: SKIPPED: {why}", flush=True)
        except (RigError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"{name}: WRONG: {error}", flush=True)
        finally:
            matrix.close()
    if options.results:
        options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not options.keep and not failed:
        shutil.rmtree(folder, ignore_errors=True)
    elif failed:
        print(f"stores and logs are in {folder}")
    if failed:
        return 1
    return SKIPPED if skipped and not results else 0


if __name__ == "__main__":
    sys.exit(main())
