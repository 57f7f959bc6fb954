#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`make demo`: from an AHCI register write to a pixel on the heat map, once, with real programs.

Boots an emulated machine with the sensor beneath Debian's stock kernel, lets it work on files and then encrypt them,
collects, judges as the records come, draws, and says what was captured, what was lost and how long each stage took. Then the
disk is rebuilt as it was before the encryption, from the records alone, and every file is looked for on it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from testbed import accel, alerts, guest, undo  # noqa: E402
from testbed.cli import DRAIN_SECONDS, EXPECTED_ERRORS  # noqa: E402
from testbed.collector import Collector, Identity, sensor_config  # noqa: E402
from testbed.request import DiskWish, Request, Sensor  # noqa: E402
from testbed.run import Hooks, Outcome  # noqa: E402
from testbed.session import Session, say  # noqa: E402

DISK_BYTES = 256 << 20
DISK_SOURCE = "0:1"  # first AHCI controller, port 1: the disk with the files
MODES = ("content", "header")
MODEL = Path(__file__).resolve().parent.parent / "models/default.json"


class DemoError(Exception):
    """The demonstration did not come to its end; the text says where to look."""


@dataclass
class Stages:
    """Names and lengths of what was done, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        say(f"--- {name}")
        yield
        self.seconds[name] = time.monotonic() - begin


@dataclass
class Result:
    outcome: Outcome
    report: Path
    exit_code: int | None
    metrics: dict[str, int]
    pictures: list[str]
    summary: dict[str, dict[str, dict[str, int]]]
    began_ns: int  # the encryption, by the sensor's clock
    alert: alerts.Alert | None
    recovered: undo.Recovered | None  # None: nothing to rebuild from

    @property
    def good(self) -> bool:
        noticed = self.alert is not None or not MODEL.is_file()
        return self.exit_code == 0 and noticed and (self.recovered is None or self.recovered.complete)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="testbed/demo.py", description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"), help="build folder with bin/ (default: build)")
    parser.add_argument("--out", type=Path, help="folder for everything that comes of it (default: BUILD/demo)")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--mode", choices=MODES, default="content", help="what the sensor captures of writes")
    parser.add_argument("--started", type=float, help="when `make` began, in seconds since 1970")
    parser.add_argument("--installed", type=float, help="when everything needed was installed")
    parser.add_argument("--timeout", type=float, default=420.0)
    return parser.parse_args(argv)


def programs(build: Path) -> tuple[Path, Sensor]:
    paths = [build / "bin" / name for name in ("undercroft", "undercroft.efi", "core.elf")]
    for path in paths:
        if not path.is_file():
            raise DemoError(f"{path} is missing: run `make build` first")
    return paths[0], Sensor(paths[1], paths[2], Path())


def run_machine(stages: Stages, arguments: argparse.Namespace, out: Path) -> tuple[Session, Collector]:
    """Machine and collector, from start to the last record."""
    program, sensor = programs(arguments.build)
    identity = Identity()
    detection = ["--detect", str(MODEL)] if MODEL.is_file() else []
    with Collector(program, out, identity, detection) as collector:
        sensor.config = out / "undercroft.conf"
        sensor.config.write_text(sensor_config(identity, collector.port, {"mode": arguments.mode, "policy": "hold"}),
                                 encoding="utf-8")
        choice = accel.choose("auto")
        say(f"accelerator {choice.accelerator}: {choice.reason}")
        session = Session(Request(
            out=out / "machine", workload="demo", cpus=arguments.cpus, accelerator=choice.accelerator, sensor=sensor,
            disks=[DiskWish(DISK_BYTES)], timeout=arguments.timeout,
            drain=lambda: collector.wait_until_quiet(DRAIN_SECONDS)))
        begin = time.monotonic()
        outcome = session.run(Hooks(on_event=say, on_tick=progress_printer(collector)))
        add_machine_stages(stages, outcome, time.monotonic() - begin)
        if outcome.state != "finished" or outcome.result("exit_status") != 0:
            raise DemoError(f"the machine {outcome.state} ({outcome.shutdown or outcome.error or 'workload failed'}); "
                            f"see console.log and sensor.log in {session.folder}")
        with stages.timed("store"):
            collector.stop()
    return session, collector


def progress_printer(collector: Collector, every: float = 3.0) -> object:
    """A line now and then with the records stored so far."""
    last = {"time": 0.0, "records": 0}

    def tick(now: float) -> None:
        if now - last["time"] < every:
            return
        last["time"] = now
        records = collector.metrics().get("records_stored", 0)
        if records != last["records"]:
            last["records"] = records
            say(f"{records:,} accesses collected", now)

    return tick


def add_machine_stages(stages: Stages, outcome: Outcome, total: float) -> None:
    """Splits the machine's time by what the guest reported."""
    at = {str(stage["stage"]): float(str(stage["host_s"])) for stage in outcome.stages}
    marker = next((float(str(entry["host_s"])) for entry in outcome.results if entry["name"] == "encryption_started"), None)
    points = [("boot", at.get("workload")), ("ordinary file activity", marker), ("encryption", at.get("drain")),
              ("last records", at.get("end"))]
    before = 0.0
    for name, point in points:
        if point is not None:
            stages.seconds[name] = point - before
            before = point
    stages.seconds["machine off"] = total - before


def draw(program: Path, store: Path, out: Path) -> tuple[list[str], dict[str, dict[str, dict[str, int]]]]:
    """Heat maps of the disk with the files; PNG paths and the program's own summary."""
    command = [str(program), "heatmap", str(store), "--source", DISK_SOURCE, "--scale", "log", "--out",
               str(out / "heatmap"), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise DemoError(f"no heat map: {result.stderr.strip()}")
    summary = json.loads(result.stdout)
    return [name for name in summary["files"] if name.endswith(".png")], summary


def encryption_began(program: Path, store: Path) -> int:
    """By the sensor's clock: the guest reads sector 1 alone just before (workloads/demo.sh)."""
    found = [int(row["time_ns"]) for row in undo.records(program, store, DISK_SOURCE) if (row["kind"], row["lba"], row["bytes"]) == ("read", "1", "512")]
    if not found:
        raise DemoError("the guest's mark before the encryption is not in the store")
    return found[-1]


def first_alert(store: Path) -> alerts.Alert | None:
    controller, port = DISK_SOURCE.split(":")
    of_disk = [alert for alert in alerts.read(store) if alert.source == int(controller) << 8 | int(port)]
    return of_disk[0] if of_disk else None


def recover(program: Path, session: Session, store: Path, began_ns: int, out: Path) -> undo.Recovered:
    """The disk was all zeros at the start, so everything on it comes out of the store."""
    assert session.outcome
    hashes = Path(session.outcome.files["hashes"]).read_text(encoding="utf-8")
    wanted = {path: digest for digest, path in (line.split(maxsplit=1) for line in hashes.splitlines())}
    base = out / "empty.raw"
    with open(base, "wb") as handle:
        handle.truncate(DISK_BYTES)
    return undo.recover(program, store, DISK_SOURCE, base, began_ns, (0, DISK_BYTES // undo.SECTOR), wanted, out / "undo")


def print_summary(stages: Stages, result: Result, store: Path, total: float) -> None:
    metrics = result.metrics
    sensor_lost, transit_lost = metrics.get("records_missing_at_sensor", 0), metrics.get("records_missing_in_transit", 0)
    totals = result.summary.get("totals", {})
    print("\nWhat happened beneath the guest")
    print(f"  accesses captured    {metrics.get('records_stored', 0):,}")
    for kind in ("read", "write"):
        numbers = totals.get(kind, {})
        print(f"    {kind + 's of the disk':<18} {numbers.get('requests', 0):,} ({numbers.get('bytes', 0) / 1e6:,.1f} MB)")
    print(f"  accesses lost        {sensor_lost + transit_lost:,} (at the sensor {sensor_lost:,}, on the way {transit_lost:,})")
    print(f"  encryption began     {result.outcome.result('encryption_started')}")
    print(f"  store (Parquet)      {store}")
    for picture in result.pictures:
        print(f"  heat map             {picture}")
    print(f"  machine's report     {result.report}")
    print_verdict(result)
    if result.recovered:
        print("\nUndo: the disk just before the encryption, out of the store alone")
        print(f"  files                {result.recovered}")
        print(f"  they are in          {store.parent / 'undo/volume/files'}")
    print("\nTime")
    for name, seconds in stages.seconds.items():
        print(f"  {name:<24}{seconds:7.1f} s")
    print(f"  {'in all':<24}{total:7.1f} s", flush=True)


def print_verdict(result: Result) -> None:
    print("\nVerdict")
    if not MODEL.is_file():
        print(f"  none: there is no model at {MODEL} (make model)")
        return
    if not result.alert:
        print("  no alert: the encryption was not noticed")
        return
    alert = result.alert
    print(f"  {alert.message}")
    print(f"  alert                {(alert.alert_ns - result.began_ns) / 1e9:.1f} s after the encryption began, probability {alert.probability:.3f}")
    for number, reason in enumerate(alert.reason_lines()):
        print(f"  {'reasons' if number == 0 else '':<20} {reason}")


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    begin = time.time()
    started = arguments.started or begin
    out = (arguments.out or arguments.build / "demo").resolve()
    stages = Stages()
    if arguments.started and arguments.installed:
        stages.seconds |= {"installation": arguments.installed - started, "build": begin - arguments.installed}
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        with stages.timed("guest images"):
            guest.prepare()
        session, collector = run_machine(stages, arguments, out)
        assert session.outcome
        with stages.timed("heat maps"):
            pictures, summary = draw(arguments.build / "bin/undercroft", collector.store, out)
        program = arguments.build / "bin/undercroft"
        began_ns = encryption_began(program, collector.store)
        with stages.timed("undo"):
            recovered = recover(program, session, collector.store, began_ns, out) if arguments.mode == "content" else None
    except (DemoError, undo.UndoError, *EXPECTED_ERRORS) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    result = Result(session.outcome, session.folder / "report.json", collector.exit_code, collector.metrics(), pictures,
                    summary, began_ns, first_alert(collector.store), recovered)
    print_summary(stages, result, collector.store, time.time() - started)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
