# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The features of each window, as `undercroft features` makes them (docs/formats/features.md has the definitions)."""
from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

import store

MOST_STEPS = 10_000
BOOT = ["machine", "boot"]
SUMS = ("read_bytes", "write_bytes", "entropy", "entropy_pieces", "lost")


def _merge(rows: DataFrame, keys: list[str]) -> DataFrame:
    """Adds up the rows of each key: sums, and counts, means and squared deviations of LBAs around the common mean.

    Means are less an LBA of their group's, the origin: rounding is relative to how far the LBAs lie apart.
    """
    group = Window.partitionBy(*keys)
    for kind in ("read", "write"):
        # Rows without pieces have no origin.
        rows = rows.withColumn(f"{kind}_low", F.min(f"{kind}_origin").over(group))
        rows = rows.withColumn(f"{kind}_mean", F.coalesce((F.col(f"{kind}_origin") - F.col(f"{kind}_low")).cast("double"), F.lit(0.0))
                               + F.col(f"{kind}_mean"))
        pieces = F.sum(f"{kind}_pieces").over(group)
        mean = F.sum(F.col(f"{kind}_pieces") * F.col(f"{kind}_mean")).over(group) / pieces
        rows = rows.withColumn(f"{kind}_all", F.when(pieces > 0, mean).otherwise(0.0))
    columns = [F.sum(name).alias(name) for name in SUMS]
    for kind in ("read", "write"):
        away = F.col(f"{kind}_mean") - F.col(f"{kind}_all")
        columns += [F.sum(f"{kind}_pieces").alias(f"{kind}_pieces"), F.first(f"{kind}_all").alias(f"{kind}_mean"),
                    F.first(f"{kind}_low").alias(f"{kind}_origin"),
                    F.sum(F.col(f"{kind}_squares") + F.col(f"{kind}_pieces") * away * away).alias(f"{kind}_squares")]
    return rows.groupBy(*keys).agg(*columns)


def _pieces(records: DataFrame) -> DataFrame:
    """Of each access: its bytes, and its pieces of at most 4,096 bytes, an arithmetic series of LBAs."""
    count = F.ceil(F.col("length") / store.PIECE_BYTES).cast("long")
    n = count.cast("double")
    known = (F.col("kind") == "write") & F.col("entropy").isNotNull() & ~F.isnan("entropy")
    columns = [*BOOT, "step", F.when(F.col("kind") == "gap", F.col("length")).otherwise(0).alias("lost"),
               F.when(known, F.col("entropy").cast("double") * n).otherwise(0.0).alias("entropy"),
               F.when(known, count).otherwise(0).alias("entropy_pieces")]
    for kind in ("read", "write"):
        here = F.col("kind") == kind
        columns += [F.when(here, F.col("length")).otherwise(0).alias(f"{kind}_bytes"),
                    F.when(here, count).otherwise(0).alias(f"{kind}_pieces"),
                    F.when(here & (count > 0), F.col("lba")).alias(f"{kind}_origin"),
                    F.when(here & (count > 0), 4 * (n - 1)).otherwise(0.0).alias(f"{kind}_mean"),
                    F.when(here & (count > 0), 64 * n * (n * n - 1) / 12).otherwise(0.0).alias(f"{kind}_squares")]
    return records.where(F.col("kind").isin("read", "write", "gap")).select(*columns)


def features(records: DataFrame, window_ns: int, step_ns: int) -> DataFrame:
    """One row for each window that has an access or a gap."""
    width, rest = divmod(window_ns, step_ns)
    if rest or width > MOST_STEPS:
        raise store.JobError(f"the window must be a whole number of steps, {MOST_STEPS} at most")
    ranges = records.groupBy(*BOOT).agg(F.min("time_ns").alias("first_ns"), F.max("time_ns").alias("last_ns"))
    ranges = ranges.withColumn("last_step", F.expr(f"(last_ns - first_ns) div {step_ns}")).drop("last_ns")
    stepped = records.join(F.broadcast(ranges), BOOT).withColumn("step", F.expr(f"(time_ns - first_ns) div {step_ns}"))
    steps = _merge(_pieces(stepped), [*BOOT, "step"])
    spread = steps.withColumn("window", F.explode(F.sequence(F.greatest(F.col("step") - (width - 1), F.lit(0)), F.col("step"))))
    windows = _merge(spread.drop("step"), [*BOOT, "window"]).join(F.broadcast(ranges), BOOT)
    seconds = window_ns / 1e9
    columns = [*BOOT, (F.col("first_ns") + F.col("window") * step_ns).alias("window_start_ns"),
               (F.col("read_bytes") / seconds).alias("read_bytes_per_s"), (F.col("write_bytes") / seconds).alias("write_bytes_per_s")]
    for kind in ("read", "write"):
        variance = F.col(f"{kind}_squares") / F.col(f"{kind}_pieces")
        columns.append(F.when(F.col(f"{kind}_pieces") > 0, variance).otherwise(0.0).alias(f"{kind}_lba_variance"))
    columns += [F.when(F.col("entropy_pieces") > 0, F.col("entropy") / F.col("entropy_pieces")).alias("write_entropy"),
                "read_pieces", "write_pieces", F.col("lost").alias("lost_records")]
    return windows.where(F.col("window") + width - 1 <= F.col("last_step")).select(*columns)


def main() -> None:
    parser = store.arguments(__doc__ or "")
    parser.add_argument("--window", type=store.duration_ns, default="10s", help="length (default 10s)")
    parser.add_argument("--step", type=store.duration_ns, default="1s", help="from one begin to the next (default 1s)")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--out", required=True, help="folder for the files, replaced")
    options = parser.parse_args()
    spark = store.session("features")
    table = features(store.records(spark, options.store, options.machine, options.boot), options.window, options.step)
    table.orderBy(*BOOT, "window_start_ns").write.mode("overwrite").option("header", True).format(options.format).save(options.out)


if __name__ == "__main__":
    store.run(main)
