#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`make model`'s first half: runs every workload of testbed/behaviour beneath the sensor and keeps its store and labels.

One folder for each run, `<workload>-<file system>-<seed>`, with store/ and labels.json (docs/workloads.md). What is there already is
not run again, so this may be stopped at any time and started anew. Slow: about 70 s for each run on two processors.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from testbed.behaviour import catalogue, host  # noqa: E402

LAB = Path(__file__).resolve().parent / "lab"
KEPT = ("store", "labels.json", "report.json")
RUN_SECONDS = 420.0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="testbed/model_data.py", description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"), help="build folder with bin/ (default: build)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, default=3, help="how often each workload runs; with 3, on each file system once (default: 3)")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--every-file-system", action="store_true", help="each workload and seed on all file systems: three times as many runs")
    parser.add_argument("--only", action="append", default=[], metavar="WORKLOAD", help="only these workloads")
    parser.add_argument("--parallel", type=int, default=2, help="machines at once (default: 2)")
    parser.add_argument("--wrap", default="", metavar="COMMAND", help="put before each run's command, e.g. 'nice -n 10'")
    parser.add_argument("--list", action="store_true", help="say what would be run, and stop")
    return parser.parse_args(argv)


def plan(seeds: range, every: bool, only: list[str]) -> list[host.Wish]:
    """Breadth first: all workloads of a seed before the next seed; the file system changes from seed to seed. Classes take turns, so that
    what is there when somebody stops is balanced."""
    for name in only:
        if name not in catalogue.WORKLOADS:
            raise host.BehaviourError(f"there is no workload {name!r}; known: {', '.join(catalogue.WORKLOADS)}")
    wishes = []
    for seed in seeds:
        for number, workload in taking_turns():
            turn = (number + seed) % len(catalogue.FILE_SYSTEMS)
            kinds = catalogue.FILE_SYSTEMS if every else (catalogue.FILE_SYSTEMS[turn],)
            wishes += [host.Wish(workload, seed, kind) for kind in kinds if catalogue.possible(workload, kind) and (not only or workload in only)]
    return wishes


def taking_turns() -> list[tuple[int, str]]:
    """Number in the catalogue and name of each workload."""
    numbered = list(enumerate(catalogue.WORKLOADS))
    groups = [[(number, name) for number, name in numbered if catalogue.WORKLOADS[name] == kind] for kind in set(catalogue.WORKLOADS.values())]
    place = {entry: (position + 0.5) / len(group) for group in groups for position, entry in enumerate(group)}
    return sorted(numbered, key=lambda entry: (place[entry], entry[0]))


def perform(wish: host.Wish, arguments: argparse.Namespace) -> str:
    """Runs it in a folder of its own, which gets its final name when all is there. Returns what went wrong, or ''."""
    work, final = arguments.out / f".{wish.name}.tmp", arguments.out / wish.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    programs = arguments.build / "bin"
    command = [*shlex.split(arguments.wrap), str(LAB), "run", "--workload", wish.workload, "--seed", str(wish.seed), "--fs", wish.file_system,
               "--sensor", str(programs / "undercroft.efi"), "--collector", str(programs / "undercroft"), "--sensor-set", "mode=header",
               "--sensor-set", "policy=hold", "--timeout", str(RUN_SECONDS), "--out", str(work)]
    with open(work / "lab.log", "wb") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode != 0 or not (work / "labels.json").is_file():
        failed = arguments.out / f".{wish.name}.failed"
        shutil.rmtree(failed, ignore_errors=True)
        work.rename(failed)
        (failed / "disk0.raw").unlink(missing_ok=True)
        last = (failed / "lab.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"ended with {done.returncode}: {last[-1] if last else 'no output'}; see {failed}/lab.log"
    for path in work.iterdir():
        if path.name not in KEPT:
            path.unlink()
    shutil.rmtree(final, ignore_errors=True)
    work.rename(final)
    return ""


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    wishes = plan(range(arguments.first_seed, arguments.first_seed + arguments.seeds), arguments.every_file_system, arguments.only)
    missing = [wish for wish in wishes if not (arguments.out / wish.name / "labels.json").is_file()]
    print(f"model data: {len(wishes)} runs wanted, {len(missing)} to do in {arguments.out}", flush=True)
    if arguments.list:
        print("\n".join(wish.name for wish in missing))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    failures, lock, done = 0, threading.Lock(), 0

    def one(wish: host.Wish) -> None:
        nonlocal failures, done
        begin = time.monotonic()
        wrong = perform(wish, arguments)
        with lock:
            done += 1
            failures += bool(wrong)
            print(f"{done}/{len(missing)} {wish.name}: {wrong or 'kept'} ({time.monotonic() - begin:.0f} s)", flush=True)

    with concurrent.futures.ThreadPoolExecutor(arguments.parallel) as pool:
        for future in [pool.submit(one, wish) for wish in missing]:
            future.result()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
