# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What runs in the guest: makes the documents (`prepare`), or runs one workload on them and reports its times (`run`).

Arguments: prepare|run DEVICE FILE-SYSTEM SEED WORKLOAD SECONDS FILES. The report goes to /tmp/behaviour.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path

from . import catalogue, corpus, daily_work, encryptors, lookalikes, volume

REPORT = Path("/tmp/behaviour.json")
MANIFEST = Path("/run.d/corpus.json")
DOCUMENTS = volume.MOUNT / catalogue.FOLDER
BEGIN_MARK, END_MARK = 1, 2


def main(arguments: list[str]) -> int:
    action, device_name, kind, seed_text, workload, seconds_text, files = arguments
    device = Path(os.path.realpath(device_name))
    os.environ |= {"DM_DISABLE_UDEV": "1", "OPENSSL_CONF": "/dev/null", "PATH": f"/tools/usr/bin:/tools/usr/sbin:{os.environ['PATH']}"}
    volume.load_modules()
    if action == "prepare":
        return prepare(device, kind, int(seed_text), int(files))
    report = run(device, kind, int(seed_text), workload, float(seconds_text))
    REPORT.write_text(json.dumps(report), encoding="utf-8")
    return 0 if report["error"] is None else 1


def prepare(device: Path, kind: str, seed: int, files: int) -> int:
    volume.make(device, kind)
    volume.mount(device, kind)
    entries = corpus.make(DOCUMENTS, seed, files)
    corpus.write_manifest(entries, REPORT)
    volume.unmount(kind)
    os.sync()
    return 0


def run(device: Path, kind: str, seed: int, workload: str, seconds: float) -> dict[str, object]:
    chance = random.Random(f"{workload} {seed}")
    set_write_back(chance)
    volume.mount(device, kind)
    entries = corpus.read_manifest(MANIFEST)
    report: dict[str, object] = {"workload": workload, "class": catalogue.WORKLOADS[workload], "seed": seed, "fs": kind, "error": None}
    before = lookalikes.Job(DOCUMENTS, entries, seed, time.monotonic() + chance.uniform(3, 6), random.Random(seed))
    daily_work.office(before)
    os.sync()
    report["changed_before"] = before.changed
    report["begin_mark"] = volume.mark(device, BEGIN_MARK)
    report["begin_ns"] = time.time_ns()
    first_writes: dict[str, int] = {}
    try:
        first_writes = work(workload, entries, seed, time.monotonic() + seconds, chance)
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError):
        report["error"] = traceback.format_exc(limit=3)
    report["end_ns"] = time.time_ns()
    report["first_writes"] = first_writes
    os.sync()
    time.sleep(3)
    report["end_mark"] = volume.mark(device, END_MARK)
    try:
        volume.unmount(kind)
    except subprocess.CalledProcessError:
        report["error"] = report["error"] or "the volume could not be unmounted"
    return report


def work(workload: str, entries: list[corpus.Entry], seed: int, deadline: float, chance: random.Random) -> dict[str, int]:
    """Times of the first writes, if the workload is an encryptor."""
    if workload in encryptors.RUN:
        job = encryptors.Job(DOCUMENTS, entries, seed, deadline, chance)
        encryptors.RUN[workload](job)
        return job.first_writes
    with contextlib.suppress(lookalikes.TimeUp):
        lookalikes.RUN[workload](lookalikes.Job(DOCUMENTS, entries, seed, deadline, chance))
    return {}


def set_write_back(chance: random.Random) -> None:
    """How soon what is written reaches the disk: within seconds, as desktop systems do. Linux's default is half a minute."""
    folder = Path("/proc/sys/vm")
    (folder / "dirty_writeback_centisecs").write_text("100", encoding="ascii")
    (folder / "dirty_expire_centisecs").write_text(str(chance.choice([100, 200, 300])), encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
