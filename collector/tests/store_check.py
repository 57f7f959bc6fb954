# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Compares a store with what undercroft-generate says it sent, record for record, with pyarrow as the reader."""
import hashlib
import pathlib
import struct

import pyarrow
import pyarrow.parquet

MASK = (1 << 64) - 1
BASE_TIME = 1_700_000_000_000_000_000
SCHEMA = {
    "seq": "uint64", "time": "timestamp[ns, tz=UTC]", "kind": "string", "address": "uint64", "length": "uint32",
    "source": "uint16", "entropy": "float", "flags": "uint16", "content": "fixed_size_binary[32]", "slot": "uint64",
}


def splitmix64(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def content_of(block: int, length: int) -> bytes:
    return b"".join(struct.pack("<Q", splitmix64(block * 1_000_003 + at)) for at in range(0, length, 8))


class Expected:
    """The records that generator/records.hpp describes."""

    def __init__(self, seed: int, content: bool, distinct: int) -> None:
        self._seed = seed
        self._content = content
        self._distinct = distinct
        self._hashes: dict[tuple[int, int], bytes] = {}

    def hash_of(self, block: int, length: int) -> bytes:
        key = (block, length)
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(content_of(block, length)).digest()
        return self._hashes[key]

    def row(self, seq: int) -> dict[str, object]:
        rnd = splitmix64((self._seed + seq) & MASK)
        choice = seq % 8
        kind, length = "write", 512 * (1 + rnd % 8)
        if choice < 3:
            kind, length = "read", 512 * (1 + rnd % 64)
        elif choice == 7:
            kind, length = ("flush", 0) if rnd & 1 else ("trim", 512 * (1 + rnd % 4096))
        write = kind == "write"
        flags = 3 | (4 if write else 0) | (8 if write and self._content else 0)
        return {
            "seq": seq, "time": BASE_TIME + seq * 1000, "kind": kind, "address": rnd >> 8 & 0xFFFFFFFF,
            "length": length, "source": 0x100 + (rnd >> 40 & 3),
            "entropy": struct.unpack("<f", struct.pack("<f", (rnd >> 16 & 0xFFFF) / 65535))[0] if write else None,
            "flags": flags, "content": self.hash_of(rnd % self._distinct, length) if flags & 8 else None,
        }


def read_files(folder: pathlib.Path) -> pyarrow.Table:
    tables = [pyarrow.parquet.ParquetFile(path).read() for path in sorted(folder.rglob("*.parquet"))]
    return pyarrow.concat_tables(tables)


def check_names(stream: pathlib.Path) -> list[str]:
    """Names say the first and last sequence number; files do not overlap; rows are in order."""
    problems = []
    end = -1
    for path in sorted(stream.rglob("*.parquet"), key=lambda p: p.name):
        table = pyarrow.parquet.ParquetFile(path).read(columns=["seq", "kind", "length"])
        seqs = table["seq"].to_pylist()
        last = seqs[-1] + (table["length"][-1].as_py() - 1 if table["kind"][-1].as_py() == "gap" else 0)
        if path.name != f"{seqs[0]:020}-{last:020}.parquet" or seqs != sorted(set(seqs)) or seqs[0] <= end:
            problems.append(f"{path.name}: rows {seqs[0]} to {last}, file before ended at {end}")
        end = last
    return problems


def check_rows(table: pyarrow.Table, expected: Expected, summary: dict) -> list[str]:
    problems = []
    gaps = {first: missing for first, missing in summary["gaps"]}
    missing = {seq for first, count in gaps.items() for seq in range(first, first + count)}
    seen: set[int] = set()
    columns = [name for name in SCHEMA if name not in ("slot", "time")]
    times = table["time"].cast(pyarrow.int64()).to_pylist()
    for row, time in zip(table.select(columns).to_pylist(), times):
        seq = row["seq"]
        if seq in seen:
            problems.append(f"record {seq} is there twice")
        seen.add(seq)
        if row["kind"] == "gap":
            if gaps.get(seq) != row["length"] or row["address"] != seq or row["flags"] != 0:
                problems.append(f"gap at {seq}: {row}, wanted {gaps.get(seq)} records")
        elif seq in missing or {**row, "time": time} != expected.row(seq):
            problems.append(f"record {seq}: {row}, wanted {expected.row(seq)}")
    wanted = (set(range(summary["next_sequence"])) - missing) | set(gaps)
    if seen != wanted:
        problems.append(f"{len(wanted - seen)} rows are missing, {len(seen - wanted)} too many")
    return problems


def check_content(store: pathlib.Path, table: pyarrow.Table) -> list[str]:
    referred = set(table["content"].drop_null().to_pylist())
    if not referred:
        return []
    content = read_files(store / "content")
    hashes = content["hash"].to_pylist()
    problems = []
    if len(hashes) != len(set(hashes)):
        problems.append(f"{len(hashes) - len(set(hashes))} content blocks are stored more than once")
    if set(hashes) != referred:
        problems.append(f"{len(referred - set(hashes))} content blocks are missing")
    for digest, data in zip(hashes, content["data"].to_pylist()):
        if hashlib.sha256(data).digest() != digest:
            problems.append(f"content block {digest.hex()} is not what its hash says")
    return problems


def check_store(store: pathlib.Path, machine: str, boot: str, expected: Expected, summary: dict) -> list[str]:
    """Everything wrong with the store, as sentences; empty when it is complete and exactly once."""
    stream = store / f"machine={machine}" / f"boot={boot}" / "stream=storage"
    table = read_files(stream)
    problems = []
    schema = {field.name: str(field.type) for field in table.schema}
    if schema != SCHEMA:
        problems.append(f"columns are {schema}")
    problems += check_names(stream)
    problems += check_rows(table, expected, summary)
    problems += check_content(store, table)
    left = [str(path) for path in store.rglob("*") if path.suffix in (".part", ".journal")]
    if left:
        problems.append(f"left behind: {left}")
    return problems
