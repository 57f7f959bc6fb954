# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What readers get from a store's files: a full scan and one minute of one machine, with Arrow alone and with DuckDB."""
from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from collector.tests.faults.rig import RigError

BASE_TIME_NS = 1_700_000_000_000_000_000
MACHINES = 16
INTERVAL_NS = 1_000_000  # a machine makes a record each millisecond: 60,000 a minute
MINUTE_NS = 60_000_000_000
SCAN_SQL = "select count(*), sum(length), sum(case when kind = 'write' then 1 else 0 end), max(address) from read_parquet('{files}') where kind <> 'gap'"


def run_json(*command: str) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RigError(f"{command[0]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def sums(row: dict[str, float]) -> tuple[float, ...]:
    return row["rows"], row["bytes"], row["writes"], row["highest_address"]


def read_back(programs: Path, store: Path, records_of_each: int) -> dict[str, float]:
    """Both readers must find the same; the first run of each warms the page cache."""
    import duckdb  # of the bench's venv only

    files = str(store / "machine=*" / "boot=*" / "stream=storage" / "date=*" / "*.parquet")
    scanner = str(programs / "uc_store_scan")
    connection = duckdb.connect()

    def with_duckdb(sql: str) -> tuple[float, tuple[float, ...]]:
        started = time.monotonic()
        row = connection.execute(sql).fetchone()
        return time.monotonic() - started, tuple(0 if value is None else value for value in row or ())

    scans = [(run_json(scanner, str(store)), with_duckdb(SCAN_SQL.format(files=files))) for _ in range(4)]
    first = scans[0][0]
    if scans[0][1][1] != sums(first):
        raise RigError(f"DuckDB reads {scans[0][1][1]}, uc_store_scan {first}")
    machine = sorted(store.glob("machine=*"))[MACHINES // 2].name.removeprefix("machine=")
    span = min(MINUTE_NS, records_of_each * INTERVAL_NS // 4)
    middle = BASE_TIME_NS + records_of_each // 2 * INTERVAL_NS
    lookup_sql = SCAN_SQL.format(files=files.replace("machine=*", f"machine={machine}")) + \
        f" and time::timestamp_ns >= make_timestamp_ns({middle}) and time::timestamp_ns < make_timestamp_ns({middle + span})"
    lookups = [(run_json(scanner, str(store), machine, str(middle), str(middle + span)), with_duckdb(lookup_sql)) for _ in range(7)]
    if any(ours["rows"] == 0 or sums(ours) != theirs[1] for ours, theirs in lookups):
        raise RigError(f"a minute of {machine}: {lookups[0]}")
    return {"scan_rows_per_s": first["rows"] / statistics.median(ours["seconds"] for ours, _ in scans[1:]),
            "scan_rows_per_s_duckdb": first["rows"] / statistics.median(theirs[0] for _, theirs in scans[1:]),
            "lookup_ms": statistics.median(ours["seconds"] for ours, _ in lookups) * 1e3,
            "lookup_ms_duckdb": statistics.median(theirs[0] for _, theirs in lookups) * 1e3,
            "lookup_rows": lookups[0][0]["rows"], "lookup_rows_read": lookups[0][0]["read_rows"]}


def measure(programs: Path, folder: Path, most_records: int) -> dict[str, float]:
    """Stores of a million, ten millions ... records of the collector's own writer; the figures by name are those of the largest."""
    figures: dict[str, float] = {}
    records = 1_000_000
    while records <= most_records:
        store = folder / f"store{records}"
        filled = run_json(str(programs / "uc_store_fill"), str(store), str(MACHINES), str(records // MACHINES), str(INTERVAL_NS))
        back = read_back(programs, store, records // MACHINES)
        shutil.rmtree(store)
        step = f"1e{len(str(records)) - 1}"
        figures |= {f"records_{step}_{name}": back[name] for name in ("scan_rows_per_s", "lookup_ms", "lookup_ms_duckdb")}
        figures |= {f"records_{step}_write_per_s": filled["records"] / filled["seconds"], f"records_{step}_bytes_per_record": filled["bytes"] / filled["records"]}
        figures |= back
        figures["lookup_records"] = filled["records"]
        records *= 10
    figures["scan_ratio_to_duckdb"] = figures["scan_rows_per_s"] / figures["scan_rows_per_s_duckdb"]
    figures["lookup_minute_ms"] = figures["lookup_ms"]
    return figures
