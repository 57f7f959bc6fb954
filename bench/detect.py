#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the detector takes and how soon it alerts: `make bench-detect`. Adds to BUILD/bench.json and prints a table.

Speed: bench/feature_speed.cpp, and the same five features from the same CSV files by `undercroft features` and by pandas, each in processor
time. Alerts: the figures of `make model` (models/figures.json), each program judged by a model that has not seen it.
"""
from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.run import Results, merged, table  # noqa: E402

MODELS = Path(__file__).resolve().parents[1] / "models"
MODEL, FIGURES = MODELS / "default.json", MODELS / "figures.json"
READS, WRITES = 2_000_000, 1_000_000
SECONDS = 300
WINDOW_S = 10
TURNS = 3
START = 1_600_000_000
TYPES = {"seconds": "int64", "part": "int64", "lba": "int64", "size": "int64", "entropy": "float64", "other": "float64"}


def write_trace(folder: Path) -> None:
    """RanSAP's files: bursts of rows of 4 KiB in the order of their times."""
    folder.mkdir(parents=True)
    rng = random.Random(1)
    for name, rows in (("ata_read", READS), ("ata_write", WRITES)):
        lba, lines = 0, []
        for i in range(rows):
            lba = rng.randrange(1 << 19) * 8 if i % 16 == 0 else lba + 8
            at = i * SECONDS * 10**6 // rows
            line = f"{START + at // 10**6},{at % 10**6 * (1 << 30) // 10**6},{lba},4096"
            lines.append(line if name == "ata_read" else f"{line},{rng.random()},{rng.random()}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="ascii")


def by_pandas(folder: Path) -> pd.DataFrame:
    """RanSAP's five features in windows that do not overlap."""
    parts = {}
    for name, columns in (("read", 4), ("write", 6)):
        names = list(TYPES)[:columns]
        frame = pd.read_csv(folder / f"ata_{name}.csv", header=None, names=names, dtype={key: TYPES[key] for key in names})
        parts[name] = frame.assign(time=frame["seconds"] + frame["part"] / (1 << 30))
    begin = min(frame["time"].min() for frame in parts.values())
    columns = {}
    for name, frame in parts.items():
        groups = frame.groupby(((frame["time"] - begin) // WINDOW_S).astype("int64"))
        columns[f"{name}_bytes_per_s"] = groups["size"].sum() / WINDOW_S
        columns[f"{name}_lba_variance"] = groups["lba"].var(ddof=0)
    columns["write_entropy"] = groups["entropy"].mean()
    return pd.DataFrame(columns)


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ratio_to_pandas(undercroft: Path) -> tuple[float, str]:
    with tempfile.TemporaryDirectory(prefix="undercroft-bench-") as where:
        folder, out = Path(where) / "machine/program/run", Path(where) / "features.csv"
        write_trace(folder)
        ours, theirs, frame = math.inf, math.inf, pd.DataFrame()
        for _ in range(TURNS):
            before = children_seconds()
            subprocess.run([str(undercroft), "features", where, "--set", "ransap", "--window", f"{WINDOW_S}s", "--step", f"{WINDOW_S}s", "--out", str(out)],
                           check=True, stdout=subprocess.DEVNULL)
            ours = min(ours, children_seconds() - before)
            begin = time.process_time()
            frame = by_pandas(folder)
            theirs = min(theirs, time.process_time() - begin)
        same_values(pd.read_csv(out), frame)
    rows = READS + WRITES
    return theirs / ours, (f"RanSAP's five features from the same CSV files ({rows:,} lines), processor time, best of {TURNS}: `undercroft features`, its start included, "
                           f"{rows / ours:.3g} lines/s; pandas {pd.__version__} (read_csv with types, groupby; its start left out) {rows / theirs:.3g} lines/s. Both have the same values")


def same_values(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    for name in theirs.columns:
        if not np.allclose(ours[name], theirs[name].iloc[:len(ours)], rtol=1e-6):
            raise ValueError(f"{name}: pandas has other values")


def speeds(build: Path, results: Results) -> None:
    command = [str(build / "bench/feature_speed"), *([str(MODEL)] if MODEL.is_file() else [])]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    figures = dict(zip(words[::2], map(float, words[1::2])))
    results.add("feature_records_per_s_per_core", figures["parquet"] * 1e6,
                "RanSAP's five features, 10 s each second, from a store's Parquet files, processor time, best of 3; "
                f"RanSAP's text is parsed at {figures['parse'] * 1e6:.3g} lines/s")
    results.add("feature_all_records_per_s_per_core", figures["parquet_all"] * 1e6,
                f"all features of storage, with history, from the same files; from records in memory {figures['features'] * 1e6:.3g} records/s")
    results.add("predict_us_per_window", figures["predict"],
                f"features of one window to calibrated probability, one window at a time, {'models/default.json' if MODEL.is_file() else 'a model trained on the spot'}; "
                f"the features from a window's totals take {figures['close']:.3g} us")
    results.add("feature_ratio_to_pandas", *ratio_to_pandas(build / "bin/undercroft"))


def alerts(results: Results) -> None:
    judged: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))["summary"]["reads+writes"]["unseen_programs"]
    runs = judged["runs"]
    note = f"test bed's runs ({runs['ransomware']} of encryptors, {runs['benign']} stretches without), each program judged by a model that has not seen it (make model)"
    results.add("first_alert_s_median", judged["alerts"]["median_s_since_start"], f"since the first encrypted write of a file; {judged['alerts']['missed']} missed; {note}")
    results.add("files_lost_share_median", judged["alerts"]["median_files_lost_share"], note)
    results.add("lookalike_false_positive_share", runs["benign_share_at_95_recall"], f"of runs, at 95 % recall of runs; {note}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    build, results = parser.parse_args().build.resolve(), Results()
    try:
        speeds(build, results)
        if FIGURES.is_file():
            alerts(results)
        else:
            print(f"no {FIGURES}: nothing is said of alerts (make model)", file=sys.stderr)
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    out = build / "bench.json"
    out.write_text(json.dumps(merged(out, results.entries), indent=1) + "\n", encoding="utf-8")
    print(table(results.entries))
    for entry in results.entries:
        print(f"  {entry['name']}: {entry['note']}")
    print(f"written: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
