#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the collector and its store can do on this machine, as ratios within one run: part of `make bench`.

 - sink: a bare recvmmsg loop that throws the data away, under datagrams that were sealed beforehand;
 - disk: fio's sequential write with a final sync, on the file system of the store;
 - collect: uc_sensor_load as fast as acknowledgements allow, headers (32 bytes a record) and blocks (4,128), every
   record checked, sealed, durable before it counts; then the store is compared with what was sent;
 - files: bytes a record, a full scan and one minute of one machine, with Arrow alone and with DuckDB on the same files.

Sender and collector share the processors of this machine; the sender seals each datagram too, so that it costs as much as the collector.
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

from collector.tests.faults.rig import Rig, RigError, free_port  # noqa: E402

BASE_TIME_NS = 1_700_000_000_000_000_000
NS_PER_RECORD = 10_000  # the generator's clock of one sensor
SCAN_SQL = "select count(*), sum(length), sum(case when kind = 'write' then 1 else 0 end), max(address) from read_parquet('{files}') where kind <> 'gap'"


def run_json(*command: str) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RigError(f"{command[0]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def sink(programs: Path, folder: Path, seconds: float, gro: bool) -> float:
    """MB/s of UDP payload that arrive in a loop that does nothing with them."""
    port = str(free_port())
    receiver = subprocess.Popen([str(programs / "uc_udp_sink"), port, str(seconds + 2), *(["gro"] if gro else [])], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout and receiver.stdout.readline().strip() == "ready"
    subprocess.run([str(programs / "uc_sensor_load"), "--to", f"127.0.0.1:{port}", "--key-file", str(folder / "key"), "--sensors", "8", "--blast",
                    "--prepared", "16", "--seconds", str(seconds), "--give-up", str(seconds)], capture_output=True, check=False)
    return json.loads(receiver.communicate(timeout=30)[0])["megabytes_per_second"]


def disk(folder: Path, mib: int) -> float:
    """MB/s of sequential writing with a sync at the end."""
    target = folder / "fio.bin"
    done = run_fio(target, mib)
    target.unlink()
    return done


def run_fio(target: Path, mib: int) -> float:
    out = subprocess.run(["fio", "--name=sequential", f"--filename={target}", "--rw=write", "--bs=1M", f"--size={mib}M", "--ioengine=psync",
                          "--end_fsync=1", "--output-format=json"], capture_output=True, text=True, check=True).stdout
    return json.loads(out[out.index("{"):])["jobs"][0]["write"]["bw_bytes"] / 1e6


def collect(programs: Path, folder: Path, shape: str, seconds: float, sensors: int) -> dict[str, float]:
    """As fast as acknowledgements allow; the rate counts until the last record is durable, and separately until all is Parquet."""
    folder.mkdir()
    rig = Rig(programs, folder, arguments=("--roll-seconds", "60", "--roll-mb", "256"))
    rig.start()
    process = rig._process  # noqa: SLF001: its memory is measured
    assert process
    load = subprocess.Popen(
        [str(programs / "uc_sensor_load"), "--to", rig.address, "--key-file", str(rig.folder / "key"), "--sensors", str(sensors), "--shape", shape,
         "--seconds", str(seconds), "--distinct", "1000000000", "--summary", str(rig.folder / "sent.json")], stdout=subprocess.PIPE, text=True)
    resident = []
    while load.poll() is None:
        time.sleep(0.25)
        resident.append(int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
    sent = json.loads(load.communicate()[0])
    if not sent["complete"]:
        raise RigError(f"not everything was acknowledged: {sent}")
    metrics = rig.metrics()
    stopped = time.monotonic()
    rig.stop()
    until_parquet = sent["seconds"] + time.monotonic() - stopped
    checked = rig.check()
    return {"records_per_s": sent["records"] / sent["seconds"], "mb_per_s": sent["bytes"] / sent["seconds"] / 1e6,
            "records_per_s_until_parquet": sent["records"] / until_parquet, "mb_per_s_until_parquet": sent["bytes"] / until_parquet / 1e6,
            "records": sent["records"], "resent": sent["resent"], "kernel_dropped": metrics["kernel_dropped"],
            "resident_mb_median": statistics.median(resident), "resident_mb_most": max(resident),
            "bytes_per_record": checked["stored_record_file_bytes"] / checked["stored_rows"]}  # type: ignore[operator]


def median_of(times: int, measure: object) -> float:
    return statistics.median(measure() for _ in range(times))  # type: ignore[operator]


def read_back(programs: Path, store: Path, records_of_each: int) -> dict[str, float]:
    import duckdb  # of the bench's venv only

    files = str(store / "machine=*" / "boot=*" / "stream=storage" / "date=*" / "*.parquet")
    scanner = str(programs / "uc_store_scan")
    connection = duckdb.connect()

    def with_duckdb(sql: str) -> tuple[float, tuple[object, ...]]:
        started = time.monotonic()
        row = connection.execute(sql).fetchone()
        return time.monotonic() - started, row

    ours = [run_json(scanner, str(store)) for _ in range(3)]
    theirs = [with_duckdb(SCAN_SQL.format(files=files)) for _ in range(3)]
    first = ours[0]
    if theirs[0][1] != (first["rows"], first["bytes"], first["writes"], first["highest_address"]):
        raise RigError(f"DuckDB reads {theirs[0][1]}, uc_store_scan {first}")
    middle = BASE_TIME_NS + records_of_each // 2 * NS_PER_RECORD
    # A minute of these sensors is 6 million records; with fewer than that, a twentieth of what there is.
    span = min(60_000_000_000, records_of_each * NS_PER_RECORD // 20)
    machine = sorted(store.glob("machine=*"))[0].name.removeprefix("machine=")
    minute = [run_json(scanner, str(store), machine, str(middle), str(middle + span)) for _ in range(5)]
    lookup_sql = SCAN_SQL.format(files=files.replace("machine=*", f"machine={machine}")) + \
        f" and time >= make_timestamp_ns({middle}) and time < make_timestamp_ns({middle + span})"
    lookups = [with_duckdb(lookup_sql.replace("time >=", "time::timestamp_ns >=").replace("time <", "time::timestamp_ns <")) for _ in range(5)]
    return {"scan_rows_per_s": first["rows"] / statistics.median(one["seconds"] for one in ours),
            "scan_rows_per_s_duckdb": first["rows"] / statistics.median(one[0] for one in theirs),
            "lookup_ms": statistics.median(one["seconds"] for one in minute) * 1e3,
            "lookup_ms_duckdb": statistics.median(one[0] for one in lookups) * 1e3,
            "lookup_rows": minute[0]["rows"], "lookup_rows_read": minute[0]["read_rows"]}


def measure(programs: Path, folder: Path, seconds: float) -> dict[str, float]:
    (folder / "key").write_text("5a" * 32 + "\n", encoding="ascii")
    figures: dict[str, float] = {}
    figures["sink_mb_per_s"] = median_of(3, lambda: sink(programs, folder, 2, gro=False))
    figures["sink_gro_mb_per_s"] = median_of(3, lambda: sink(programs, folder, 2, gro=True))
    figures["disk_mb_per_s"] = disk(folder, 1024)
    headers = collect(programs, folder / "headers", "headers", seconds, sensors=32)
    blocks = collect(programs, folder / "blocks", "blocks", seconds, sensors=32)
    figures["disk_mb_per_s"] = statistics.mean([figures["disk_mb_per_s"], disk(folder, 1024)])
    bound = min(figures["sink_mb_per_s"], figures["disk_mb_per_s"])
    figures |= {f"collect_32b_{name}": value for name, value in headers.items()} | {f"collect_4128b_{name}": value for name, value in blocks.items()}
    figures["collect_32b_ratio_to_sink"] = headers["mb_per_s"] / figures["sink_mb_per_s"]
    figures["collect_4128b_ratio_to_bound"] = blocks["mb_per_s"] / bound
    figures["store_bytes_per_record"] = headers["bytes_per_record"]
    back = read_back(programs, folder / "headers" / "store", int(headers["records"] / 32))
    figures |= back
    figures["scan_ratio_to_duckdb"] = back["scan_rows_per_s"] / back["scan_rows_per_s_duckdb"]
    figures["lookup_minute_ms"] = back["lookup_ms"]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seconds", type=float, default=8, help="of each collecting run")
    parser.add_argument("--folder", type=Path, help="where stores are made: the disk that is measured; the build folder otherwise")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="collector-bench-", dir=options.folder or options.build))
    try:
        figures = measure((options.build / "bin").resolve(), folder.resolve(), options.seconds)
    except (RigError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, value in figures.items():
        print(f"{name:42} {value:16,.3f}")
    target = options.build / "bench.json"
    known = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    target.write_text(json.dumps({**known, **figures}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
