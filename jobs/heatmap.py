# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Heat-map grids over any time: the same counts as `undercroft heatmap` (docs/formats/heatmap.md), over all matching boots.

Writes one JSON file with the keys time, lba, totals and grids of that format. What a cell counts is 4 KiB blocks.
"""
from __future__ import annotations

import json
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

import store

SECTORS_PER_BLOCK = 8
MOST_CELLS = 1 << 24


@dataclass(frozen=True)
class Shape:
    """Equal cells of whole nanoseconds by whole blocks, at most as many as asked for."""

    from_ns: int
    to_ns: int
    first_block: int
    end_block: int
    most_columns: int
    most_rows: int

    @property
    def cell_ns(self) -> int:
        return -((self.from_ns - self.to_ns) // self.most_columns)

    @property
    def cell_blocks(self) -> int:
        return -((self.first_block - self.end_block) // self.most_rows)

    @property
    def columns(self) -> int:
        return -((self.from_ns - self.to_ns) // self.cell_ns)

    @property
    def rows(self) -> int:
        return -((self.first_block - self.end_block) // self.cell_blocks)


def block_runs(records: DataFrame) -> DataFrame:
    """Reads and writes with the run of blocks [first, end) that each counts for.

    Rows of one write that is not aligned share a block, which counts for the row before.
    """
    end_lba = F.col("lba") + F.expr("(length + 511) div 512")
    later = (F.col("flags").bitwiseAND(store.FIRST_OF_REQUEST) == 0) & (F.col("lba") % SECTORS_PER_BLOCK != 0)
    accesses = records.where(F.col("kind").isin("read", "write")).withColumn("end_lba", end_lba)
    before = accesses.select("machine", "boot", (F.col("seq") + 1).alias("seq"), F.col("kind").alias("b_kind"),
                             F.col("source").alias("b_source"), F.col("end_lba").alias("b_end"))
    # Only rows that could share a block look for the row before: in practice few.
    shared = accesses.where(later).join(before, ["machine", "boot", "seq"], "left").withColumn(
        "shared", F.coalesce(((F.col("b_kind") == F.col("kind")) & (F.col("b_source") == F.col("source"))
                              & (F.col("b_end") == F.col("lba"))).cast("long"), F.lit(0))).drop("b_kind", "b_source", "b_end")
    both = shared.unionByName(accesses.where(~later).withColumn("shared", F.lit(0).cast("long")))
    first = F.expr(f"lba div {SECTORS_PER_BLOCK}") + F.col("shared")
    last = F.expr(f"(end_lba - 1) div {SECTORS_PER_BLOCK} + 1")
    return both.withColumn("first", first).withColumn(
        "end", F.when(F.col("length") > 0, F.greatest(last, F.col("first"))).otherwise(F.col("first")))


def cells(runs: DataFrame, shape: Shape) -> DataFrame:
    """kind, column, row, blocks, entropy (sum over blocks) and entropy_blocks of each cell that has any."""
    first = F.greatest(F.col("first"), F.lit(shape.first_block))
    end = F.least(F.col("end"), F.lit(shape.end_block))
    inside = runs.withColumn("a", first).withColumn("b", end).where(F.col("a") < F.col("b"))
    low, high = (F.expr(f"({name} - {shape.first_block}) div {shape.cell_blocks}") for name in ("a", "b - 1"))
    spread = inside.withColumn("column", F.expr(f"(time_ns - {shape.from_ns}) div {shape.cell_ns}")).withColumn(
        "row", F.explode(F.sequence(low, high)))
    row_first = F.col("row") * shape.cell_blocks + shape.first_block
    blocks = F.least(F.col("b"), row_first + shape.cell_blocks) - F.greatest(F.col("a"), row_first)
    known = (F.col("kind") == "write") & F.col("entropy").isNotNull() & ~F.isnan("entropy")
    return spread.withColumn("blocks", blocks).groupBy("kind", "column", "row").agg(
        F.sum("blocks").alias("blocks"), F.sum(F.when(known, F.col("blocks") * F.col("entropy").cast("double")).otherwise(0.0)).alias("entropy"),
        F.sum(F.when(known, F.col("blocks")).otherwise(0)).alias("entropy_blocks"))


def totals(runs: DataFrame) -> dict[str, dict[str, int]]:
    """Of the reads and of the writes."""
    first: Column = (F.col("flags").bitwiseAND(store.FIRST_OF_REQUEST) != 0).cast("long")
    rows = runs.groupBy("kind").agg(F.count("*").alias("records"), F.sum(first).alias("requests"), F.sum("length").alias("bytes"),
                                    F.sum(F.col("end") - F.col("first")).alias("blocks")).collect()
    empty = {"records": 0, "requests": 0, "bytes": 0, "blocks": 0}
    found = {row["kind"]: {name: row[name] for name in empty} for row in rows}
    return {kind: found.get(kind, dict(empty)) for kind in ("read", "write")}


def heatmap(records: DataFrame, shape: Shape) -> dict[str, object]:
    """The document, without what only one boot has."""
    if shape.columns * shape.rows > MOST_CELLS:
        raise store.JobError(f"more than {MOST_CELLS} cells")
    runs = block_runs(records).where((F.col("time_ns") >= shape.from_ns) & (F.col("time_ns") < shape.to_ns))
    grids: dict[str, list[list[float | None]]] = {kind: [[0] * shape.columns for _ in range(shape.rows)] for kind in ("read", "write")}
    entropies: list[list[float | None]] = [[None] * shape.columns for _ in range(shape.rows)]
    for cell in cells(runs, shape).collect():
        grids[cell["kind"]][cell["row"]][cell["column"]] = cell["blocks"]
        if cell["entropy_blocks"]:
            entropies[cell["row"]][cell["column"]] = cell["entropy"] / cell["entropy_blocks"]
    counts = totals(runs)
    for kind, numbers in counts.items():
        numbers["shown"] = sum(value or 0 for line in grids[kind] for value in line)  # type: ignore[assignment]
    return {"time": {"from_ns": shape.from_ns, "to_ns": shape.to_ns, "cell_ns": shape.cell_ns, "columns": shape.columns},
            "lba": {"first": shape.first_block * SECTORS_PER_BLOCK, "end": shape.end_block * SECTORS_PER_BLOCK,
                    "cell_sectors": shape.cell_blocks * SECTORS_PER_BLOCK, "rows": shape.rows},
            "totals": counts, "grids": {**grids, "write_entropy": entropies}}


def whole_range(records: DataFrame) -> tuple[int, int, int, int]:
    """First and one past the last time and block of all reads and writes."""
    row = block_runs(records).agg(F.min("time_ns"), F.max("time_ns"), F.min("first"), F.max("end")).collect()[0]
    if row[0] is None:
        raise store.JobError("there are no reads and writes")
    return row[0], row[1] + 1, row[2], row[3]


def main() -> None:
    parser = store.arguments(__doc__ or "")
    parser.add_argument("--from-ns", type=int, help="UTC since 1970 (default: the first access)")
    parser.add_argument("--to-ns", type=int, help="excluded (default: the last access)")
    parser.add_argument("--lba-range", help="A-B, sectors, B excluded (default: all)")
    parser.add_argument("--bins", default="200x160", help="columns x rows, at most (default 200x160)")
    parser.add_argument("--out", required=True, help="the JSON file, on this machine")
    options = parser.parse_args()
    spark = store.session("heat map")
    records = store.records(spark, options.store, options.machine, options.boot)
    from_ns, to_ns, first, end = whole_range(records)
    if options.lba_range:
        low, high = map(int, options.lba_range.split("-"))
        first, end = low // SECTORS_PER_BLOCK, (high - 1) // SECTORS_PER_BLOCK + 1
    columns, rows = map(int, options.bins.split("x"))
    shape = Shape(from_ns if options.from_ns is None else options.from_ns, to_ns if options.to_ns is None else options.to_ns,
                  first, end, columns, rows)
    if shape.from_ns >= shape.to_ns or first >= end or columns < 1 or rows < 1:
        raise store.JobError("the range is empty")
    document = heatmap(records, shape)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(document, file)


if __name__ == "__main__":
    store.run(main)
