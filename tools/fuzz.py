# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`make fuzz`: runs every fuzz target for a while, keeps what it learned, fails on a finding.

The corpus of each target lives in BUILD/fuzz-corpus/TARGET, inputs that make it fail in BUILD/fuzz-findings.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SECONDS_PER_INPUT = 10
MEMORY_MIB = 2048


@dataclass(frozen=True)
class Result:
    name: str
    executions: int
    edges: int
    corpus_files: int
    finding: str  # empty: none
    log: Path


def _last_number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def fuzz(build: Path, name: str, seconds: int) -> Result:
    corpus, findings = build / "fuzz-corpus" / name, build / "fuzz-findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    log = findings / f"{name}.log"
    command = [build / "fuzz" / name, f"-max_total_time={seconds}", f"-timeout={SECONDS_PER_INPUT}",
               f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={findings}/{name}-", "-print_final_stats=1", corpus]
    environment = os.environ | {"UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
    with log.open("wb") as output:
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=output, env=environment, check=False).returncode
    text = log.read_text(errors="replace")
    summary = re.search(r"^SUMMARY: (.*)$", text, re.MULTILINE)
    finding = "" if code == 0 else summary.group(1) if summary else f"exit status {code}"
    return Result(name, _last_number(r"stat::number_of_executed_units:\s*(\d+)", text), _last_number(r"cov: (\d+)", text),
                  sum(1 for _ in corpus.iterdir()), finding, log)


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help="targets to run (default: all)")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    known = (build / "fuzz" / "targets").read_text().split()
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"no such target: {', '.join(unknown)} (there are {', '.join(known)})")
    names = arguments.names or known
    if not names:
        parser.error("no fuzz targets")
    if unbuilt := [name for name in names if not (build / "fuzz" / name).is_file()]:
        parser.error(f"not built: {', '.join(unbuilt)} (`make fuzz` does, or cmake --build {arguments.build} --target fuzzers)")
    print(f"fuzz: {len(names)} targets, {arguments.seconds} s each, {arguments.jobs} at a time", flush=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda name: fuzz(build, name, arguments.seconds), names))
    print(f"{'target':<20} {'executions':>12} {'per second':>10} {'edges':>7} {'corpus':>7}  finding")
    for result in results:
        print(f"{result.name:<20} {result.executions:>12} {result.executions // max(1, arguments.seconds):>10} "
              f"{result.edges:>7} {result.corpus_files:>7}  {result.finding or 'none'}")
    bad = [result for result in results if result.finding or result.executions == 0]
    for result in bad:
        print(f"\nfuzz: {result.name}: see {result.log}:")
        print("\n".join(result.log.read_text(errors="replace").splitlines()[-25:]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
