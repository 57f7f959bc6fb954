# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Faults of the collector's process, its disk and the clocks."""
from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from collector.tests.faults.rig import Load, RigError
from collector.tests.faults.setting import Matrix, Skip


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
        filler.write_bytes(bytes(23 << 20))  # the rest is less than the records take as Parquet, however fast they become that
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


def slow_disk(matrix: Matrix) -> dict[str, object]:
    """Each sync takes 300 to 600 ms and each MiB 20 ms: sensors wait, nothing is lost, memory stays within its limits."""
    rig = matrix.rig(bad_machine={"UC_SLOW_SYNC_MS": "300", "UC_SLOW_WRITE_NS_PER_KIB": "20000"},
                     arguments=("--roll-seconds", "1", "--pending-mb", "4"))
    rig.start()
    result = rig.finish(rig.load(Load(sensors=8, records=100_000, rate=0, give_up=60)), timeout=240)
    metrics = rig.metrics()
    rig.close()
    # A sync each 300 ms at least, or the disk was not slow.
    if metrics["commits"] > float(result["seconds"]) / 0.3 + 2:  # type: ignore[arg-type]
        raise RigError(f"{metrics['commits']} commits in {result['seconds']} s: the disk was not slow")
    return {"path": "syncs of 300 to 600 ms", "commits": metrics["commits"], "kernel_dropped": metrics["kernel_dropped"], **result}


def clock_jump(matrix: Matrix) -> dict[str, object]:
    """The collector's own clock goes a day ahead, then a year back, while it collects, rolls and keeps for 90 days."""
    rig = matrix.rig(bad_machine={"UC_CLOCK_JUMPS": "1:86400,2:-31536000,4:31536000"},
                     arguments=("--roll-seconds", "1", "--roll-rows", "20000", "--keep-days", "90"))
    rig.start()
    result = rig.finish(rig.load(Load(records=60_000, rate=50_000, gap_every=9)))
    jumps = (rig.folder / "collect.log").read_text(encoding="utf-8", errors="replace")
    rig.close()
    return {"path": "the collector's clock: a day ahead, a year back, a year ahead", "log_lines": len(jumps.splitlines()), **result}


def clock(matrix: Matrix) -> dict[str, object]:
    """Sensors whose clocks stand at the epoch and in the year 2200."""
    rows = 0
    for base in (0, 7_258_118_400_000_000_000):
        rig = matrix.rig()
        rig.start()
        rows += int(rig.finish(rig.load(Load(sensors=2, records=10_000, base_time_ns=base)))["stored_rows"])  # type: ignore[call-overload]
        rig.close()
    return {"path": "sensors in 1970 and 2200", "stored_rows": rows}
