# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A labelled table for training detectors: the features of each window that lies wholly within a labelled time.

The labels are a CSV file with a header: machine,boot,from_ns,to_ns,label. machine and boot may be empty (all), and so may
the times (from the first, to the last). A window under two different labels is an error, not a choice.
"""
from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import features
import store

NO_WRITES = -1.0  # entropy of a window without writes, as in the re-implementations of RanSMAP
LABEL_SCHEMA = "machine string, boot string, from_ns long, to_ns long, label string"
EVER = (1 << 63) - 1


def read_labels(spark: SparkSession, path: str) -> DataFrame:
    """The labels, with what was left empty filled in."""
    table = spark.read.option("header", True).option("enforceSchema", False).option("mode", "FAILFAST").csv(path, LABEL_SCHEMA)
    if table.where(F.col("label").isNull()).limit(1).count():
        raise store.JobError(f"{path}: a line has no label")
    return table.fillna({"from_ns": 0, "to_ns": EVER})


def training_set(windows: DataFrame, labels: DataFrame, window_ns: int) -> DataFrame:
    """Windows that have a label; the others are left out."""
    names = labels.select(F.col("machine").alias("of_machine"), F.col("boot").alias("of_boot"), "from_ns", "to_ns", "label")
    inside = ((F.col("of_machine").isNull() | (F.col("of_machine") == F.col("machine")))
              & (F.col("of_boot").isNull() | (F.col("of_boot") == F.col("boot")))
              & (F.col("window_start_ns") >= F.col("from_ns")) & (F.col("window_start_ns") <= F.col("to_ns") - window_ns))
    joined = windows.join(F.broadcast(names), inside)
    keys = ["machine", "boot", "window_start_ns"]
    labelled = joined.groupBy(*keys).agg(F.collect_set("label").alias("labels"), *(
        F.first(name).alias(name) for name in windows.columns if name not in keys))
    twice = labelled.where(F.size("labels") > 1).limit(1).collect()
    if twice:
        raise store.JobError(f"the window at {twice[0]['window_start_ns']} of boot {twice[0]['boot']} has several labels: "
                             + ", ".join(sorted(twice[0]["labels"])))
    return labelled.select(*keys, "read_bytes_per_s", "write_bytes_per_s", "read_lba_variance", "write_lba_variance",
                           F.coalesce("write_entropy", F.lit(NO_WRITES)).alias("write_entropy"), "lost_records",
                           F.col("labels")[0].alias("label"))


def main() -> None:
    parser = store.arguments(__doc__ or "")
    parser.add_argument("--labels", required=True, help="CSV file")
    parser.add_argument("--window", type=store.duration_ns, default="10s", help="length (default 10s)")
    parser.add_argument("--step", type=store.duration_ns, default="1s", help="from one begin to the next (default 1s)")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--out", required=True, help="folder for the files, replaced")
    options = parser.parse_args()
    spark = store.session("training set")
    windows = features.features(store.records(spark, options.store, options.machine, options.boot), options.window, options.step)
    table = training_set(windows, read_labels(spark, options.labels), options.window)
    table.orderBy("machine", "boot", "window_start_ns").coalesce(1).write.mode("overwrite").option("header", True).format(
        options.format).save(options.out)


if __name__ == "__main__":
    store.run(main)
