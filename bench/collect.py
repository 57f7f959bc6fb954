#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the collector and its store can do on this machine, as ratios within one run: part of `make bench`.

 - sink: a bare recvmmsg loop that throws the data away, under datagrams that were sealed beforehand;
 - disk: fio's sequential write with a final sync, on the file system of the store;
 - collect: the same kind of datagrams into `undercroft collect` as fast as its acknowledgements allow, headers (32 bytes a
   record) and blocks (4,128). The rate counts until the last record is acknowledged: received, unsealed, checked and synced in
   the journal. Then the store is compared with what was sent, and the rate until all is Parquet is told besides;
 - tcpdump -w of the blast;
 - files: bytes a record, a full scan and one minute of one machine out of many records, with Arrow alone and with DuckDB.

Sender and collector share the processors of this machine.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import collect_files, collect_rivals as rivals, run as bench  # noqa: E402
from collector.tests.faults.rig import Rig, RigError  # noqa: E402

SENSORS = 32
RECORD_BYTES = {"headers": 32, "blocks": 4128}
PARTS = ("rates", "files")


def processor_seconds(pid: int) -> dict[str, float]:
    """Of each of the process's threads by name."""
    used: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        head, _, rest = (task / "stat").read_text(encoding="ascii").rpartition(")")
        fields = rest.split()
        name = head.partition("(")[2]
        used[name] = used.get(name, 0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def available_bytes() -> int:
    line = next(line for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def collect(programs: Path, folder: Path, shape: str, megabytes: float) -> dict[str, float]:
    """Everything is sealed in the sender's memory before the clock starts."""
    folder.mkdir()
    megabytes = min(megabytes, available_bytes() / 3e6)
    records = max(int(megabytes * 1e6 / RECORD_BYTES[shape] / SENSORS), 100)
    rig = Rig(programs, folder, arguments=("--roll-seconds", "60", "--roll-mb", "256"))
    rig.start()
    process = rig._process  # noqa: SLF001: its memory and time are measured
    assert process
    load = subprocess.Popen(
        [str(programs / "uc_sensor_load"), "--to", rig.address, "--key-file", str(rig.folder / "key"), "--sensors", str(SENSORS), "--shape", shape,
         "--records", str(records), "--prepare", "--distinct", "1000000000", "--summary", str(rig.folder / "sent.json")], stdout=subprocess.PIPE, text=True)
    resident = []
    while load.poll() is None:
        time.sleep(0.1)
        resident.append(resident_mb(process.pid))
    sent = json.loads(load.communicate()[0])
    used = processor_seconds(process.pid)
    if not sent["complete"]:
        raise RigError(f"not everything was acknowledged: {sent}")
    time.sleep(1.1)  # the next metrics
    metrics = rig.metrics()
    print(f"{shape}: {sent['records'] / sent['seconds']:,.0f} records/s, {sent['bytes'] / sent['seconds'] / 1e6:.0f} MB/s; {used}", file=sys.stderr, flush=True)
    stopped = time.monotonic()
    rig.stop(timeout=600)
    until_parquet = sent["seconds"] + 1.1 + time.monotonic() - stopped
    checked = rig.check()
    late = resident[len(resident) * 3 // 4:]
    return {"records_per_s": sent["records"] / sent["seconds"], "mb_per_s": sent["bytes"] / sent["seconds"] / 1e6,
            "records_per_s_until_parquet": sent["records"] / until_parquet, "mb_per_s_until_parquet": sent["bytes"] / until_parquet / 1e6,
            "records": sent["records"], "seconds": sent["seconds"], "resent": sent["resent"], "kernel_dropped": metrics["kernel_dropped"],
            "cpu_ns_per_kb": (used.get("receive", 0) + used.get("commit", 0) + used.get("undercroft", 0)) * 1e12 / sent["bytes"],
            "resident_mb_median": statistics.median(resident), "resident_mb_late": statistics.median(late), "resident_mb_most": max(resident),
            "bytes_per_record": checked["stored_record_file_bytes"] / checked["stored_rows"]}  # type: ignore[operator]


def measure_rates(programs: Path, folder: Path, seconds: float) -> dict[str, float]:
    (folder / "key").write_text("5a" * 32 + "\n", encoding="ascii")
    figures: dict[str, float] = {}
    disks = [rivals.disk(folder, 1024)]
    sinks = [rivals.sink(programs, folder, 1.5, gro=False) for _ in range(2)]
    rates: dict[str, dict[str, float]] = {}
    for shape in ("headers", "blocks"):
        rates[shape] = collect(programs, folder / shape, shape, seconds * sinks[0]["mb_per_s"])
        shutil.rmtree(folder / shape)
        sinks.append(rivals.sink(programs, folder, 1.5, gro=False))
    disks.append(rivals.disk(folder, 1024))
    joined = rivals.sink(programs, folder, 1.5, gro=True)
    figures["sink_mb_per_s"] = statistics.median(one["mb_per_s"] for one in sinks)
    figures["sink_cpu_ns_per_kb"] = statistics.median(one["cpu_ns_per_kb"] for one in sinks)
    figures["sink_gro_mb_per_s"], figures["sink_gro_cpu_ns_per_kb"] = joined["mb_per_s"], joined["cpu_ns_per_kb"]
    figures["disk_mb_per_s"] = statistics.mean(disks)
    figures |= {f"tcpdump_{name}": value for name, value in rivals.tcpdump(programs, folder, 2).items()}
    for shape, prefix in (("headers", "collect_32b_"), ("blocks", "collect_4128b_")):
        figures |= {prefix + name: value for name, value in rates[shape].items()}
    figures["collect_32b_ratio_to_sink"] = rates["headers"]["mb_per_s"] / figures["sink_mb_per_s"]
    figures["collect_4128b_ratio_to_bound"] = rates["blocks"]["mb_per_s"] / min(figures["sink_mb_per_s"], figures["disk_mb_per_s"])
    figures["store_bytes_per_record"] = rates["headers"]["bytes_per_record"]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seconds", type=float, default=4, help="of each collecting run, were it as fast as the sink")
    parser.add_argument("--records", type=int, default=100_000_000, help="of the largest store that is read")
    parser.add_argument("--folder", type=Path, help="where stores are made: the disk that is measured; the build folder otherwise")
    parser.add_argument("--only", choices=PARTS, help="one part; the others' figures stay in bench.json and bench-collect.json")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="collector-bench-", dir=options.folder or options.build)).resolve()
    programs = (options.build / "bin").resolve()
    figures: dict[str, float] = {}
    try:
        if options.only != "files":
            figures |= measure_rates(programs, folder, options.seconds)
        if options.only != "rates":
            figures |= collect_files.measure(programs, folder, options.records)
    except (RigError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, value in figures.items():
        print(f"{name:42} {value:16,.3f}")
    results = bench.Results()
    for name, value in figures.items():
        if name in bench.TARGETS:
            results.add(name, value, f"{os.cpu_count()} processors for sender and collector together")
    bench.keep(options.build / "bench.json", results)
    all_figures = options.build / "bench-collect.json"
    known = json.loads(all_figures.read_text(encoding="utf-8")) if all_figures.exists() else {}
    all_figures.write_text(json.dumps({**known, **figures}, indent=1) + "\n", encoding="utf-8")
    print(bench.table(results.entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
