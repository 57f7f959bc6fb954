#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the sensor costs: `make bench`. Writes BUILD/bench.json and prints a table.

Kinds of runs of emulated machines:
 - pairs, without and with the sensor (header-only capture), in turns, for throughput, CPU loop and boot time;
   medians over the pairs of what was measured in the guest by fio and by the guest's clock;
 - one counted run: the probe plugin (testbed/probe) counts VMRUNs and the sensor's instructions from outside the
   machine, phase by phase; these figures hardly depend on the host;
 - one run with full contents;
 - the same disk commands and the same rest on VT-x in Bochs, to the instruction, and on SVM (testbed/witness/figures.py).
"""
from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testbed.bochs import BochsError  # noqa: E402
from testbed.collector import CollectorError  # noqa: E402
from testbed.witness import bochs_rig, figures, rig, store  # noqa: E402
from testbed.witness.bochs_counts import CountError  # noqa: E402
from testbed.witness.rig import Build, Run, Setup  # noqa: E402

HERE = Path(__file__).resolve().parent
WORKLOAD = str(HERE / "workload.sh")
BASELINE = HERE / "baseline.json"
TIMED_JOBS = ["4k-write-qd1", "4k-read-qd1", "1m-write", "1m-read"]
COUNTED_JOBS = ["4k-write-qd1", "4k-write-qd32", "4k-read-qd1", "1m-write"]
IDLE_MARKS = (14, 15)
_MARK = re.compile(r"undercroft-probe: (mark|end) (\d+) vmruns (\d+) instructions (\d+)")


@dataclass(frozen=True)
class Target:
    """What is asked for, and what BitVisor's plain mediator (no capture) measured in this emulator, where known."""

    unit: str
    at_most: float | None = None
    at_least: float | None = None
    reference: float | None = None

    def text(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return "" if self.at_least is None else f"at least {self.at_least:g}"

    def verdict(self, value: float) -> str:
        if self.at_most is None and self.at_least is None:
            return ""
        held = (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)
        return "pass" if held else "MISS"


TARGETS = {
    "exits_per_4k_ncq_write_qd1": Target("exits/command", at_most=4, reference=9),
    "exits_per_4k_ncq_write_qd32": Target("exits/command", at_most=3, reference=9),
    "exits_per_4k_ncq_read_qd1": Target("exits/command", at_most=4, reference=9),
    "instructions_per_exit": Target("instructions"),
    "instructions_per_4k_block": Target("instructions"),
    "ratio_4k_write_qd1_header": Target("ratio", at_least=0.40, reference=0.154),
    "ratio_4k_read_qd1_header": Target("ratio", at_least=0.40, reference=0.153),
    "ratio_1m_write_header": Target("ratio", at_least=0.5, reference=0.161),
    "ratio_1m_read_header": Target("ratio", at_least=0.5, reference=0.135),
    "mb_per_s_full_content": Target("MB/s"),
    "ratio_cpu_loop": Target("ratio", at_least=0.98, reference=0.998),
    "boot_extra_s": Target("s", at_most=3, reference=2.7),
    "entropy_ns_per_4k_block_native": Target("ns"),
    # The detector (bench/detect.py).
    "feature_records_per_s_per_core": Target("records/s", at_least=20e6),
    "feature_all_records_per_s_per_core": Target("records/s"),
    "feature_ratio_to_pandas": Target("times"),
    "predict_us_per_window": Target("us", at_most=50),
    "first_alert_s_median": Target("s", at_most=10),
    "files_lost_share_median": Target("share", at_most=0.01),
    "lookalike_false_positive_share": Target("share", at_most=0.02),
    **{f"{vendor}_{name}": Target(unit) for name, unit in (
        ("instructions_per_exit", "instructions"), ("exits_per_ide_dma_command", "exits/command"),
        ("instructions_per_ide_dma_command", "instructions"), ("exits_per_idle_second", "exits/s"),
        ("instructions_per_idle_second", "instructions/s")) for vendor in ("vmx", "svm")},
    # The memory monitor (bench/memory.py).
    "collect_32b_ratio_to_sink": Target("ratio", at_least=0.8),
    "collect_4128b_ratio_to_bound": Target("ratio", at_least=0.8),
    "collect_32b_records_per_s": Target("records/s"),
    "collect_4128b_mb_per_s": Target("MB/s"),
    "store_bytes_per_record": Target("bytes/record", at_most=8),
    "scan_ratio_to_duckdb": Target("ratio"),
    "lookup_minute_ms": Target("ms"),
    "mem_2a_best_pages_per_s_under_5pct": Target("pages/s"),
    "mem_watch_pages_per_s_at_5pct": Target("pages/s"),
    "mem_watch_gain_at_5pct": Target("times", at_least=100),
    "mem_written_pages_stream_ratio": Target("times", at_most=1.5),
    "mem_snapshot_system_ratio": Target("times", at_most=1.05),
    "mem_snapshot_mb_per_s": Target("MB/s"),
    "mem_exits_per_record_2a": Target("exits/record"),
    "mem_exits_per_record_watch": Target("exits/record"),
    # The page (bench/page.py).
    "page_fps_median_1e8": Target("frames/s", at_least=30),
    "tile_ms_p95": Target("ms", at_most=200),
    "live_delay_ms_median": Target("ms", at_most=1000),
    "live_delay_guest_ms_median": Target("ms", at_most=1000),
    "page_index_s_1e8": Target("s"),
}


class Results:
    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, name: str, value: float, note: str) -> None:
        target = TARGETS[name]
        asked = f"target: {target.text()}; " if target.text() else ""
        self.entries.append({"name": name, "value": round(value, 4), "unit": target.unit, "reference": target.reference,
                             "note": asked + note})


def fio(run: Run, job: str) -> tuple[float, float, int]:
    """(requests per second, MB per second, requests) of a job, as fio counted in the guest."""
    data = json.loads(Path(run.report["guest_files"][f"fio-{job}.json"]).read_text(encoding="utf-8"))["jobs"][0]
    part = data["write" if "write" in job else "read"]
    return part["iops"], part["bw_bytes"] / 1e6, part["total_ios"]


def stage_s(run: Run, name: str) -> float:
    return next(float(stage["host_s"]) for stage in run.report["stages"] if stage["stage"] == name)


def cpu_loop_s(run: Run) -> float:
    """The fastest round: the others were disturbed by the host."""
    return min(entry["value"]["seconds"] for entry in run.report["results"] if entry["name"] == "cpu_loop")


def marks(run: Run) -> dict[int, tuple[int, int]]:
    """Mark -> (VMRUNs, instructions in the sensor) up to it; -1 is the end of the run."""
    found = {}
    for kind, number, vmruns, instructions in _MARK.findall(run.qemu_log.read_text(errors="replace")):
        found[-1 if kind == "end" else int(number)] = (int(vmruns), int(instructions))
    return found


def phase(found: dict[int, tuple[int, int]], begin: int, end: int) -> tuple[int, int]:
    return found[end][0] - found[begin][0], found[end][1] - found[begin][1]


def timed_pairs(build: Build, folder: Path, pairs: int, seconds: int, results: Results) -> None:
    common = {"BENCH_JOBS": " ".join(TIMED_JOBS), "BENCH_SECONDS": str(seconds), "CPU_ROUNDS": "4"}
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for number in range(pairs):
        for sensor in (False, True):
            setup = Setup(WORKLOAD, settings=common, sensor=sensor, mode="header", log_writes=False, trace=False, probe=False,
                          guest_programs=("mark",))
            runs[sensor].append(rig.perform(setup, build, folder / f"{'sensor' if sensor else 'bare'}-{number}"))
    for job in TIMED_JOBS:
        name = f"ratio_{job.replace('-', '_')}_header"
        unit, index = ("IOPS", 0) if job.startswith("4k") else ("MB/s", 1)
        bare, sensed = (statistics.median(fio(run, job)[index] for run in runs[sensor]) for sensor in (False, True))
        results.add(name, sensed / bare, f"{sensed:.0f} of {bare:.0f} {unit}, medians of {pairs} pairs")
    bare, sensed = (statistics.median(cpu_loop_s(run) for run in runs[sensor]) for sensor in (False, True))
    results.add("ratio_cpu_loop", bare / sensed, f"{bare:.3f} s without, {sensed:.3f} s with the sensor")
    bare, sensed = (statistics.median(stage_s(run, "userspace") for run in runs[sensor]) for sensor in (False, True))
    results.add("boot_extra_s", sensed - bare, f"power-on to userspace {bare:.1f} s without, {sensed:.1f} s with the sensor")


def counted(build: Build, folder: Path, results: Results) -> None:
    settings = {"BENCH_JOBS": " ".join(COUNTED_JOBS), "BENCH_COUNT": "1"}
    run = rig.perform(Setup(WORKLOAD, settings=settings, mode="header", log_writes=False, trace=False, count_instructions=True,
                            guest_programs=("mark",)), build, folder / "counted")
    found = marks(run)
    idle, _ = phase(found, *IDLE_MARKS)
    cross_check = _cross_check(run, found[-1][0])
    for number, job in enumerate(COUNTED_JOBS):
        exits, instructions = phase(found, number * 2, number * 2 + 1)
        _, _, commands = fio(run, job)
        note = f"{exits} VMRUNs in {commands} commands, idle background {idle / 5:.0f}/s included; {cross_check}"
        if job != "1m-write":
            results.add(f"exits_per_{job.replace('4k-', '4k_ncq_').replace('-', '_')}", exits / commands, note)
        if job == "4k-write-qd1":
            results.add("instructions_per_exit", instructions / exits,
                        f"all of the sensor's instructions over all exits in {job}, counted by the plugin; entropy and sending included")
        if job == "1m-write":
            results.add("instructions_per_4k_block", instructions / (commands * 256),
                        f"all of the sensor's instructions over the captured blocks in {job}, header-only; entropy and sending included")


def _cross_check(run: Run, vmruns: int) -> str:
    """The sensor's own count against the plugin's; the last status may be up to a second old."""
    own = store.only_boot(run.store).counters().get("exits_total", 0)
    return f"whole run: plugin {vmruns} VMRUNs, sensor's exits_total {own}"


def full_content(build: Build, folder: Path, seconds: int, results: Results) -> None:
    settings = {"BENCH_JOBS": "1m-write", "BENCH_SECONDS": str(seconds)}
    run = rig.perform(Setup(WORKLOAD, settings=settings, mode="content", policy="hold", buffer_kib=16384, log_writes=False,
                            trace=False, probe=False, guest_programs=("mark",)), build, folder / "content")
    counters = store.only_boot(run.store).counters()
    results.add("mb_per_s_full_content", fio(run, "1m-write")[1],
                f"sequential 1 MiB writes with contents, nothing lost (policy hold, 16 MiB buffer, MTU 1500): the guest waits for "
                f"buffer space ({counters.get('hold_waits', 0)} waits), that is for the emulated network card; "
                f"{counters.get('datagrams_sent', 0)} datagrams, {counters.get('datagrams_resent', 0)} of them again")


def vendors(build: Build, folder: Path, results: Results) -> None:
    """Side by side: 4 KiB writes by bus master, one at a time, and rest."""
    runs = {"vmx": figures.of_vmx(bochs_rig.perform(figures.VMX, build, folder / "vmx")),
            "svm": figures.of_svm(rig.perform(figures.SVM, build, folder / "svm"))}
    for vendor, phases in runs.items():
        emulator = "Bochs" if vendor == "vmx" else "QEMU"
        note = (f"{emulator}: {phases.commands.exits} exits and {phases.commands.instructions} instructions of the sensor in {phases.issued} "
                f"writes of 4 KiB, {phases.rest.exits} and {phases.rest.instructions} in {figures.REST_SECONDS} s of rest; capture on, the collector answers")
        for name, value in phases.figures(vendor).items():
            results.add(name, value, note)


def native(build: Build, results: Results) -> None:
    speed = subprocess.run([build.file("bench/entropy_speed")], check=True, capture_output=True, text=True).stdout.split()
    figures = dict(zip(speed[::2], speed[1::2]))
    results.add("entropy_ns_per_4k_block_native", float(figures["new"]),
                f"the sensor's code run by this processor itself, blocks never seen before; seen before {figures['repeated']}, "
                f"zeros {figures['zeros']}; 256 times this is what a real machine adds to 1 MiB of writes")


def table(entries: list[dict[str, Any]]) -> str:
    baseline = {}
    if BASELINE.is_file():
        baseline = {entry["name"]: entry["value"] for entry in json.loads(BASELINE.read_text(encoding="utf-8"))}
    rows = [("figure", "value", "unit", "target", "", "baseline", "BitVisor")]
    for entry in entries:
        target = TARGETS[entry["name"]]
        rows.append((entry["name"], f"{entry['value']:g}", entry["unit"], target.text(), target.verdict(entry["value"]),
                     f"{baseline[entry['name']]:g}" if entry["name"] in baseline else "", "" if target.reference is None else f"{target.reference:g}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _place(entry: dict[str, Any]) -> int:
    return list(TARGETS).index(entry["name"])


def merged(path: Path, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """New figures replace those of their name in the file; the others stay, as far as they still have a target."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    figures = {entry["name"]: entry for entry in [*old, *entries] if entry["name"] in TARGETS}
    return sorted(figures.values(), key=_place)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=rig.default_build())
    parser.add_argument("--pairs", type=int, default=2, help="runs without and with the sensor")
    parser.add_argument("--seconds", type=int, default=4, help="length of each timed job")
    parser.add_argument("--only", choices=["timed", "counted", "content", "native", "vendors"], help="one part only")
    parser.add_argument("--save-baseline", action="store_true", help="keep the figures in bench/baseline.json")
    options = parser.parse_args()
    build, folder, results = Build(options.build.resolve()), options.build.resolve() / "bench", Results()
    try:
        if options.only in (None, "native"):
            native(build, results)
        if options.only in (None, "counted"):
            counted(build, folder, results)
        if options.only in (None, "timed"):
            timed_pairs(build, folder, options.pairs, options.seconds, results)
        if options.only in (None, "content"):
            full_content(build, folder, max(8, options.seconds), results)
        if options.only in (None, "vendors"):
            vendors(build, folder, results)
    except (rig.RigError, BochsError, CountError, CollectorError, store.StoreError, OSError, KeyError, subprocess.CalledProcessError) as error:
        return rig.complain(error)
    out = options.build / "bench.json"
    for path in [out, BASELINE] if options.save_baseline else [out]:
        path.write_text(json.dumps(merged(path, results.entries), indent=1) + "\n", encoding="utf-8")
    results.entries.sort(key=_place)
    print(table(results.entries))
    for entry in results.entries:
        print(f"  {entry['name']}: {entry['note']}")
    print(f"written: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
