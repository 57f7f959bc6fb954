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
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from collector.tests.faults.rig import Load, Namespaces, Rig, RigError  # noqa: E402
from testbed.faults import Faults, UdpFaultProxy  # noqa: E402

SKIPPED = 77
Case = Callable[["Matrix"], dict[str, object]]


class Skip(Exception):
    """The machine cannot show this fault."""


class Matrix:
    def __init__(self, programs: Path, folder: Path, soak: bool) -> None:
        self.programs, self.folder, self.soak = programs, folder, soak
        self.random = random.Random(20)
        self._made = 0

    def rig(self, namespaces: Namespaces | None = None, **settings: object) -> Rig:
        self._made += 1
        return Rig(self.programs, self.folder / f"run{self._made}", namespaces, **settings)  # type: ignore[arg-type]

    def cable(self) -> Namespaces:
        if why := Namespaces.why_not():
            raise Skip(why)
        return Namespaces()

    def over_bad_path(self, netem: tuple[str, ...], faults: Faults, load: Load, least: str) -> dict[str, object]:
        """Over netem where there is any, else through the proxy. `least`: the count that proves that the fault was there."""
        namespaces = None if Namespaces.why_not() else Namespaces()
        try:
            if namespaces and namespaces.impair("netem", *netem):
                rig = self.rig(namespaces)
                rig.start()
                result = rig.finish(rig.load(load))
                rig.close()
                return {"path": "netem " + " ".join(netem), **result}
        finally:
            if namespaces:
                namespaces.close()
        rig = self.rig()
        rig.start()
        host, port = rig.address.split(":")
        proxy = UdpFaultProxy((host, int(port)), faults, seed=7).start()
        try:
            result = rig.finish(rig.load(load, to=f"127.0.0.1:{proxy.port}"))
        finally:
            counts = proxy.stop()
            rig.close()
        if counts["to_collector"][least] == 0:
            raise RigError(f"the proxy did nothing: {counts}")
        return {"path": f"proxy, {least} {counts['to_collector'][least]} of {counts['to_collector']['received']}", **result}


def loss(percent: float) -> Case:
    def case(matrix: Matrix) -> dict[str, object]:
        return matrix.over_bad_path(("loss", f"{percent}%"), Faults(drop=percent / 100), Load(gap_every=9), "dropped")
    return case


def reorder(matrix: Matrix) -> dict[str, object]:
    return matrix.over_bad_path(("delay", "10ms", "reorder", "75%", "50%"), Faults(reorder=0.3), Load(), "overtaken")


def duplicate(matrix: Matrix) -> dict[str, object]:
    return matrix.over_bad_path(("duplicate", "30%"), Faults(duplicate=0.3), Load(), "duplicated")


def delay(matrix: Matrix) -> dict[str, object]:
    return matrix.over_bad_path(("delay", "200ms", "20ms"), Faults(delay_s=0.2), Load(records=15_000), "received")


def everything(matrix: Matrix) -> dict[str, object]:
    load = Load(shape="blocks", records=400, rate=1000, gap_every=7)
    return matrix.over_bad_path(("loss", "5%", "duplicate", "5%", "delay", "20ms", "10ms"),
                                Faults(drop=0.05, duplicate=0.05, reorder=0.1, delay_s=0.02), load, "dropped")


def bandwidth(matrix: Matrix) -> dict[str, object]:
    """A cable of 20 Mbit/s with a queue of 100 ms for eight sensors that would like much more."""
    namespaces = matrix.cable()
    try:
        if not namespaces.impair("tbf", "rate", "20mbit", "burst", "64kbit", "latency", "100ms"):
            raise Skip("this kernel has no tc tbf")
        rig = matrix.rig(namespaces)
        rig.start()
        load = Load(sensors=8, records=20_000, rate=0)
        result = rig.finish(rig.load(load))
        rig.close()
        wire_mbit = float(result["bytes"]) * 8 / float(result["seconds"]) / 1e6  # type: ignore[arg-type]
        useful = 1 - int(result["resent"]) / int(result["datagrams"])  # type: ignore[call-overload]
        if useful < 0.5:
            raise RigError(f"only {useful:.0%} of the datagrams were new: repeats made the congestion worse")
        return {"path": "tbf 20 Mbit/s", "mbit_sent": round(wire_mbit, 1), "share_of_new": round(useful, 3), **result}
    finally:
        namespaces.close()


def partition(matrix: Matrix) -> dict[str, object]:
    namespaces = matrix.cable()
    try:
        rig = matrix.rig(namespaces)
        rig.start()
        running = rig.load(Load(records=40_000, rate=40_000, give_up=120))
        time.sleep(1.0)
        namespaces.cable(up=False)
        away = 60.0 if matrix.soak else 6.0
        time.sleep(away)
        namespaces.cable(up=True)
        result = rig.finish(running, timeout=240)
        rig.close()
        return {"path": f"cable unplugged for {away:.0f} s", **result}
    finally:
        namespaces.close()


def killed_at_random(matrix: Matrix, kills: int, load: Load, arguments: tuple[str, ...]) -> dict[str, object]:
    """SIGKILL at random moments, most of them while records arrive, are synced or converted, or in the recovery before."""
    rig = matrix.rig(arguments=arguments)
    rig.start()
    running = rig.load(load)
    for _ in range(kills):
        time.sleep(matrix.random.uniform(0.0, 0.7))
        rig.kill()
        rig.start()
    running.terminate()  # it makes no more records, and ends when all are acknowledged
    result = rig.finish(running, timeout=300)
    rig.close()
    return {"path": f"{kills} times SIGKILL", "kills": kills, **result}


def kill(matrix: Matrix) -> dict[str, object]:
    load = Load(sensors=3, records=0, rate=24_000, gap_every=11, give_up=60)
    return killed_at_random(matrix, 200 if matrix.soak else 15, load, ("--roll-seconds", "0.3", "--roll-rows", "5000"))


def kill_content(matrix: Matrix) -> dict[str, object]:
    load = Load(sensors=2, shape="blocks", records=0, rate=1200, distinct=2000, give_up=60)
    return killed_at_random(matrix, 40 if matrix.soak else 5, load, ("--roll-seconds", "0.3", "--roll-mb", "1"))


class SmallDisk:
    """A file system of its own for a store."""

    def __init__(self, folder: Path, mib: int) -> None:
        if os.geteuid() != 0:
            raise Skip("a file system of its own needs root")
        self.folder = folder
        folder.mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skip(f"cannot mount a tmpfs: {done.stderr.strip()}")

    def remount(self, options: str) -> None:
        done = subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RigError(f"remount,{options}: {done.stderr.strip()}")

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)


def disk_full(matrix: Matrix) -> dict[str, object]:
    """The disk fills up while sensors send; nothing is acknowledged that is not stored; then there is room again."""
    rig = matrix.rig()
    disk = SmallDisk(rig.store, 24)
    try:
        filler = rig.store / "filler"
        filler.write_bytes(bytes(21 << 20))
        rig.start()
        running = rig.load(Load(sensors=4, records=60_000, rate=120_000, give_up=60))
        end = time.monotonic() + 20
        while rig.metrics_or_empty().get("store_errors", 0) == 0:
            if time.monotonic() > end:
                raise RigError("the disk did not fill up")
            time.sleep(0.1)
        if not rig.running():
            raise RigError("the collector ended because the disk was full")
        time.sleep(1.0)
        filler.unlink()
        result = rig.finish(running)
        return {"path": "24 MiB, then room again", **result}
    finally:
        rig.close()
        disk.close()


def read_only(matrix: Matrix) -> dict[str, object]:
    rig = matrix.rig()
    disk = SmallDisk(rig.store, 64)
    try:
        rig.start()
        running = rig.load(Load(records=30_000, rate=40_000, give_up=60))
        time.sleep(1.2)
        rig.kill()
        disk.remount("ro")
        if rig.start(may_fail=True):
            raise RigError("the collector started on a store that cannot be written")
        disk.remount("rw")
        rig.start()
        result = rig.finish(running)
        return {"path": "store read-only at a start", **result}
    finally:
        rig.close()
        disk.close()


def half_file(matrix: Matrix) -> dict[str, object]:
    """A half-written Parquet file and a cut journal are left behind, as by a power cut."""
    rig = matrix.rig()
    rig.start()
    running = rig.load(Load(records=30_000, rate=40_000))
    time.sleep(1.5)
    rig.kill()
    record_file = next(rig.store.rglob("stream=storage/**/*.parquet"))
    part = record_file.parent / "00000000000099999999.parquet.part"
    part.write_bytes(record_file.read_bytes()[:700])
    newest = max((rig.store / "journal").glob("*.journal"), default=None)
    if newest:
        with open(newest, "ab") as journal:
            journal.write(b"UCJ2" + bytes(40))
    found = rig.fsck(expect=1)
    if not any(".part" in finding["path"] for finding in found["findings"]):  # type: ignore[index, attr-defined]
        raise RigError(f"fsck does not name the half file: {found}")
    rig.start()
    result = rig.finish(running)
    rig.close()
    return {"path": "half a Parquet file, half a journal frame", **result}


def clock(matrix: Matrix) -> dict[str, object]:
    """Sensors whose clocks stand at the epoch and in the year 2200; then the machine's own clock jumps while one sends."""
    rows = 0
    for base in (0, 7_258_118_400_000_000_000):
        rig = matrix.rig()
        rig.start()
        rows += int(rig.finish(rig.load(Load(sensors=2, records=10_000, base_time_ns=base)))["stored_rows"])  # type: ignore[call-overload]
        rig.close()
    return {"path": "sensors in 1970 and 2200", "stored_rows": rows}


def strangers(matrix: Matrix) -> dict[str, object]:
    """A sensor with a wrong key and one that repeats old datagrams beside a good one."""
    rig = matrix.rig()
    rig.start()
    good_key = (rig.folder / "key").read_text(encoding="ascii")
    running = rig.load(Load(records=40_000, rate=40_000))
    wrong = rig.folder / "wrong"
    wrong.write_text("ab" * 32 + "\n", encoding="ascii")
    stranger = subprocess.Popen(
        [str(matrix.programs / "uc_sensor_load"), "--to", rig.address, "--key-file", str(wrong), "--sensors", "64", "--blast", "--seconds", "2",
         "--rate", "400000"], stdout=subprocess.PIPE, text=True)
    out, _ = stranger.communicate(timeout=30)
    assert (rig.folder / "key").read_text(encoding="ascii") == good_key
    result = rig.finish(running)
    refused = rig.metrics()["bad_tag"]
    folders = len(list(rig.store.glob("machine=*/boot=*")))
    rig.close()
    if refused == 0 or folders != 4:
        raise RigError(f"{refused} datagrams refused, {folders} sensors in the store")
    return {"path": f"{json.loads(out)['datagrams']} datagrams with a wrong key beside", "refused": refused, **result}


CASES: dict[str, Case] = {
    "loss-0.1": loss(0.1), "loss-5": loss(5), "loss-30": loss(30), "reorder": reorder, "duplicate": duplicate, "delay-200ms": delay,
    "everything": everything, "bandwidth": bandwidth, "partition": partition, "kill": kill, "kill-content": kill_content,
    "disk-full": disk_full, "read-only": read_only, "half-file": half_file, "clock": clock, "strangers": strangers,
}


def show(name: str, result: dict[str, object], seconds: float) -> None:
    figures = ", ".join(f"{key} {result[key]}" for key in ("stored_rows", "stored_gap_records", "resent", "timeouts", "refused", "share_of_new")
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
        try:
            result = CASES[name](Matrix(options.programs.resolve(), folder / name, options.soak))
            results[name] = {**result, "case_seconds": round(time.monotonic() - started, 1)}
            show(name, result, time.monotonic() - started)
        except Skip as why:
            skipped += 1
            print(f"{name}: SKIPPED: {why}", flush=True)
        except (RigError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"{name}: WRONG: {error}", flush=True)
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
