# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The records of a store (docs/formats/store.md), on disk or HDFS, as a Spark table. What the jobs share."""
from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import AnalysisException

FIRST_OF_REQUEST = 1
PIECE_BYTES = 4096
# No disk has as many sectors. Higher addresses, which a guest may ask for, count as this one.
MOST_LBA = 1 << 60

_NAME = re.compile(r"/machine=([0-9a-f]{32})/boot=([0-9a-f]{32})/stream=storage/date=[^/]+/(\d{20})-(\d{20})\.parquet$")
_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


class JobError(Exception):
    """Something the user can act on."""


@dataclass(frozen=True)
class RecordFile:
    """A closed record file; what it holds is in its name."""

    path: str
    machine: str
    boot: str
    first: int
    last: int


def session(name: str) -> SparkSession:
    """Spark as it was started (spark-submit), set up for stores."""
    spark = SparkSession.builder.appName(f"undercroft {name}").getOrCreate()
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")  # Spark has no nanoseconds; as numbers none is lost
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")  # an id of digits is no number
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    return spark


def duration_ns(text: str) -> int:
    """"10s", "250ms", "1h"."""
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no duration such as 10s, 250ms or 1h")
    return int(found[1]) * _UNITS_NS[found[2]]


def arguments(description: str) -> argparse.ArgumentParser:
    """What every job is asked: the store, and which machine and boot of it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("store", help="folder, or hdfs://HOST:PORT/FOLDER")
    parser.add_argument("--machine", default="", help="machine id, or how it begins (default: all)")
    parser.add_argument("--boot", default="", help="boot id, or how it begins (default: all)")
    return parser


def without_replaced(files: list[RecordFile]) -> list[RecordFile]:
    """Leaves out files whose rows another one has too: compaction has put them together and not deleted them yet."""
    kept: list[RecordFile] = []
    for one in sorted(files, key=lambda file: (file.machine, file.boot, file.first, -file.last)):
        before = kept[-1] if kept else None
        if before and (before.machine, before.boot) == (one.machine, one.boot) and one.last <= before.last:
            continue
        kept.append(one)
    return kept


def record_files(spark: SparkSession, store: str, machine: str = "", boot: str = "") -> list[RecordFile]:
    """The files of all matching boots, each record in one of them only."""
    if re.search(r"[^0-9a-f]", machine + boot):
        raise JobError("machine and boot ids are hexadecimal digits, in lower case")
    pattern = f"{store}/machine={machine}*/boot={boot}*/stream=storage/date=*"
    try:
        # Of a file's columns only its path is asked for: nothing is read, and the names come in one answer.
        found = spark.read.format("binaryFile").option("pathGlobFilter", "*.parquet").load(pattern).select("path").collect()
    except AnalysisException as error:
        raise JobError(f"{store}: {str(error).splitlines()[0]}") from error
    files = []
    for row in found:
        parts = _NAME.search(row["path"])
        if parts:
            files.append(RecordFile(row["path"], parts[1], parts[2], int(parts[3]), int(parts[4])))
    if not files:
        raise JobError(f"{store}: no records there that match; is it a store?")
    return without_replaced(files)


def records(spark: SparkSession, store: str, machine: str = "", boot: str = "") -> DataFrame:
    """machine, boot, seq, time_ns, kind, lba, length, source, entropy, flags: one row for each row of the store."""
    paths = [file.path for file in record_files(spark, store, machine, boot)]
    table = spark.read.option("basePath", store).parquet(*paths)
    return table.select(
        "machine", "boot", F.col("seq").cast("long").alias("seq"), F.col("time").cast("long").alias("time_ns"), "kind",
        F.least(F.col("address"), F.lit(MOST_LBA).cast("decimal(20,0)")).cast("long").alias("lba"),
        F.col("length").cast("long").alias("length"), F.col("source").cast("int").alias("source"), "entropy",
        F.col("flags").cast("int").alias("flags"))


def run(main: Callable[[], None]) -> None:
    """Runs a job; errors that the user can act on are one line."""
    try:
        main()
    except JobError as error:
        sys.exit(f"error: {error}")
