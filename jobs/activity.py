# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What each machine's disks did on each day (UTC): requests and bytes by kind, records missing, first and last access."""
from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

import store

KINDS = ("read", "write", "flush", "trim")
NS_PER_DAY = 86400 * 10**9


def activity(records: DataFrame) -> DataFrame:
    """One row for each machine, boot and day."""
    def of(kind: str, value: Column) -> Column:
        return F.sum(F.when(F.col("kind") == kind, value).otherwise(0))

    first = (F.col("flags").bitwiseAND(store.FIRST_OF_REQUEST) != 0).cast("long")
    columns = []
    for kind in KINDS:
        columns.append(of(kind, F.lit(1)).alias(f"{kind}_records"))
        columns.append(of(kind, first).alias(f"{kind}_requests"))
        columns.append(of(kind, F.col("length")).alias(f"{kind}_bytes"))
    access = F.when(F.col("kind").isin(*KINDS), F.col("time_ns"))
    columns += [of("gap", F.col("length")).alias("lost_records"), F.min(access).alias("first_ns"), F.max(access).alias("last_ns")]
    day = F.date_add(F.lit("1970-01-01"), F.floor(F.col("time_ns") / NS_PER_DAY).cast("int")).alias("day")
    return records.groupBy("machine", "boot", day).agg(*columns).orderBy("machine", "day", "boot")


def main() -> None:
    parser = store.arguments(__doc__ or "")
    parser.add_argument("--out", help="folder for Parquet files, replaced (default: a table on standard output)")
    options = parser.parse_args()
    spark = store.session("activity")
    table = activity(store.records(spark, options.store, options.machine, options.boot))
    if options.out:
        table.write.mode("overwrite").parquet(options.out)
    else:
        table.show(1000, truncate=False)


if __name__ == "__main__":
    store.run(main)
