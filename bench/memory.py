#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the memory monitor sees and costs: memory.py [--build BUILD] [--elements N]. One run of an emulated machine
goes through all settings of all modes, the mode off first and last. Writes the keys mem_* into BUILD/bench.json
(next to what is there) and the figures BUILD/memory-access.svg, -written.svg, -watch.svg; docs/memory-monitoring.md
says what they mean.

Observed pages per second are the records (mode watch: pages seen accessed) that the monitor made while STREAM ran,
after a warm-up; the slow-down is STREAM's time by that with the mode off.
"""
from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import run as bench  # noqa: E402
from bench.chart import Chart, Series  # noqa: E402
from testbed.collector import CollectorError  # noqa: E402
from testbed.witness import rig  # noqa: E402
from testbed.witness.rig import Build, Setup  # noqa: E402

WORKLOAD = str(Path(__file__).resolve().parent / "memory_workload.sh")
PERIODS_MS = (300, 1000, 3000, 10000)
LONG_PERIOD_MS = 40000  # rare enough to cost an emulated machine less than 5 %
HUGE_PERIODS_MS = (30, 100, 300, 1000)
VARIANTS = {"both": "", "entries": "--keep-tlb", "tlb": "--keep-entries"}
THINNINGS = (1, 4, 16, 64)
UNLIMITED_THINNINGS = (1, 16)  # no budget: as in the paper
BUDGETS = (1, 2, 5, 10)
ALLOWED = 1.05  # slow-down of the points compared
PAGE_BYTES = 4096
Entry = dict[str, Any]


def settings(seconds: float) -> list[str]:
    """As memory_workload.sh reads them; STREAM runs for some periods in each."""
    def line(name: str, words: str, period_ms: float = 0) -> str:
        return f"{name} {max(seconds, 2 * period_ms / 1000):g} {words}".strip()

    lines = [line("off", "off")]
    lines += [line(f"access-{variant}-{period}", f"access --every {period}ms {option}", period) for variant, option in VARIANTS.items() for period in PERIODS_MS]
    lines += [line(f"access-both-{LONG_PERIOD_MS}", f"access --every {LONG_PERIOD_MS}ms", LONG_PERIOD_MS)]
    lines += [line(f"access-huge-{period}", f"access --huge --every {period}ms", period) for period in HUGE_PERIODS_MS]
    lines += [line(f"written-{thin}", f"written --thin {thin}") for thin in THINNINGS]
    lines += [line(f"written-all-{thin}", f"written --budget 100% --thin {thin}") for thin in UNLIMITED_THINNINGS]
    lines += [line("snapshot", "snapshot --every 1s")]
    lines += [line(f"watch-{budget}", f"watch --budget {budget}%") for budget in BUDGETS]
    return [*lines, line("off-again", "off")]


@dataclass(frozen=True)
class Point:
    """One setting's figures, relative to the mode off."""

    pages_per_s: float
    stream_s: float
    stream_ratio: float
    system_ratio: float
    exits_per_record: float


def system_mean(entry: Entry) -> float:
    """Geometric mean of the set's operations per second."""
    rates = [float(value) for value in entry["set"].values()]
    return math.exp(sum(map(math.log, rates)) / len(rates))


def _exits(counters: dict[str, Any]) -> int:
    """Of all CPUs and reasons; counters of single CPUs are named exits_reason[cpu]."""
    return sum(int(value) for name, value in counters.items() if name.startswith("exits_"))


def _of_mode(figures: Entry, mode: str, key: str) -> int:
    return int(figures["memory"]["modes"][mode][key])


def point(entry: Entry, mode: str, base_stream_s: float, base_system: float) -> Point:
    before, after = entry["before"], entry["between"]
    seconds = after["uptime"] - before["uptime"]
    made = {key: _of_mode(after, mode, key) - _of_mode(before, mode, key) for key in ("records", "pages")}
    seen = made["pages"] if mode == "watch" else made["records"]
    exits = _exits(after["counters"]) - _exits(before["counters"])
    stream_s = float(entry["stream"]["mean_total"])
    return Point(seen / seconds, stream_s, stream_s / base_stream_s, base_system / system_mean(entry), exits / max(made["records"], 1))


def points(entries: dict[str, Entry]) -> dict[str, Point]:
    """By setting; settings that the processor refused are left out."""
    bases = [entries[name] for name in ("off", "off-again") if name in entries]
    stream = sum(float(entry["stream"]["mean_total"]) for entry in bases) / len(bases)
    system = math.exp(sum(math.log(system_mean(entry)) for entry in bases) / len(bases))
    return {name: point(entry, name.split("-")[0], stream, system) for name, entry in entries.items()
            if not name.startswith("off") and "refused" not in entry}


def best_under(found: dict[str, Point], prefix: str) -> Point | None:
    allowed = [one for name, one in found.items() if name.startswith(prefix) and one.stream_ratio <= ALLOWED]
    return max(allowed, key=lambda one: one.pages_per_s, default=None)


def keys(entries: dict[str, Entry], found: dict[str, Point]) -> dict[str, float]:
    result: dict[str, float] = {}
    best, watch = best_under(found, "access-"), found.get("watch-5")
    if best:
        result |= {"mem_2a_best_pages_per_s_under_5pct": best.pages_per_s, "mem_exits_per_record_2a": best.exits_per_record}
    if watch:
        result |= {"mem_watch_pages_per_s_at_5pct": watch.pages_per_s, "mem_exits_per_record_watch": watch.exits_per_record}
    if best and watch and best.pages_per_s > 0:
        result["mem_watch_gain_at_5pct"] = watch.pages_per_s / best.pages_per_s
    if "written-1" in found:
        result["mem_written_pages_stream_ratio"] = found["written-1"].stream_ratio
    if "snapshot" in found:
        entry = entries["snapshot"]
        copied = _of_mode(entry["after"], "snapshot", "pages") - _of_mode(entry["before"], "snapshot", "pages")  # while the set runs, too
        result["mem_snapshot_system_ratio"] = found["snapshot"].system_ratio
        result["mem_snapshot_mb_per_s"] = copied * PAGE_BYTES / 1e6 / (entry["after"]["uptime"] - entry["before"]["uptime"])
    return {name: round(value, 4) for name, value in result.items()}


def draw(found: dict[str, Point], folder: Path) -> None:
    """As the paper draws them: pages per second on the left axis, STREAM's time on the right."""
    def series(name: str, ids: list[tuple[float, str]]) -> list[Series]:
        there = [(x, found[key]) for x, key in ids if key in found]
        return [Series(name + ": pages/s", [(x, one.pages_per_s) for x, one in there], left=True),
                Series(name + ": STREAM", [(x, one.stream_s) for x, one in there], left=False)]

    periods = {**dict.fromkeys(VARIANTS, (*PERIODS_MS, LONG_PERIOD_MS)), "huge": HUGE_PERIODS_MS}
    access = [part for variant, each in periods.items() for part in series(variant, [(period, f"access-{variant}-{period}") for period in each])]
    charts = {"access": Chart("Access records: what is cleared, and how often", "n (ms)", access),
              "written": Chart("Written pages: every m-th write", "m", [*series("10 % budget", [(m, f"written-{m}") for m in THINNINGS]), *series("no limit", [(m, f"written-all-{m}") for m in UNLIMITED_THINNINGS])]),
              "watch": Chart("Budgeted monitor", "budget (%)", series("watch", [(budget, f"watch-{budget}") for budget in BUDGETS]))}
    for name, chart in charts.items():
        (folder / f"memory-{name}.svg").write_text(chart.svg(), encoding="utf-8")


def measure(build: Build, folder: Path, elements: int, seconds: float, set_seconds: float, only: str) -> dict[str, Entry]:
    chosen = [line for line in settings(seconds) if line.startswith(("off", *only.split(",")))]
    wanted = {"CONTROL_KEY": rig.IDENTITY.control_key, "SETTINGS": ";".join(chosen), "STREAM_ELEMENTS": str(elements), "WARM_UP_SECONDS": "3",
              "SET_SECONDS": str(set_seconds)}
    setup = Setup(WORKLOAD, settings=wanted, memory="1G", mode="header", disk_bytes=0, log_writes=False, trace=False, probe=False,
                  guest_programs=("ucctl", "stream", "system_set"), timeout_s=2400)
    run = rig.perform(setup, build, folder)
    return {entry["name"]: entry["value"] for entry in run.report["results"] if isinstance(entry["value"], dict)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=rig.default_build())
    parser.add_argument("--elements", type=int, default=10_000_000, help="of each of STREAM's arrays")
    parser.add_argument("--seconds", type=float, default=10.0, help="of STREAM for each setting")
    parser.add_argument("--only", default="", metavar="PREFIX,...", help="settings that begin so, and the mode off")
    parser.add_argument("--set-seconds", type=float, default=0.5, help="for each item of the system set")
    options = parser.parse_args()
    build = Build(options.build.resolve())
    try:
        entries = measure(build, build.folder / "bench" / "memory", options.elements, options.seconds, options.set_seconds, options.only)
    except (rig.RigError, CollectorError, OSError) as error:
        return rig.complain(error)
    found = points(entries)
    result = keys(entries, found)
    results = bench.Results()
    for name, value in result.items():
        results.add(name, value, f"STREAM with arrays of {options.elements} doubles; emulated seconds")
    bench.keep(build.folder / "bench.json", results)
    (build.folder / "bench-memory.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    draw(found, build.folder)
    for name, one in found.items():
        print(f"{name:<20} {one.pages_per_s:>14,.0f} pages/s   STREAM x {one.stream_ratio:.3f}   system x {one.system_ratio:.3f}   {one.exits_per_record:.2f} exits per record")
    print(bench.table(results.entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
