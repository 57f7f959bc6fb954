# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The comparators accept what is equal and find what is not, on small stores and logs made by hand."""
from __future__ import annotations

import hashlib
import tempfile
import unittest
from pathlib import Path

from testbed.witness import gap_check, read_trace, replay_check, store
from testbed.witness.access import FLUSH, READ, TRIM, WRITE, Access, content_of
from testbed.witness.compare_writes import compare, epochs
from testbed.witness.qemu_trace import HbaCommand, Trace
from testbed.witness.store import FIRST, GAP, HAS_CONTENT, HAS_ENTROPY, LAST, Row
from testbed.witness.tests.synthetic import write_store


def write(lba: int, fill: bytes, blocks: int = 1) -> Access:
    return Access(WRITE, lba, 4096 * blocks, content_of([hashlib.sha256(fill * 4096).digest()] * blocks))


def row(seq: int, kind: str, address: int, length: int, flags: int = FIRST | LAST, fill: bytes | None = None, source: int = 1) -> Row:
    content = hashlib.sha256(fill * length).digest() if fill else None
    extra = HAS_CONTENT | HAS_ENTROPY if fill else 0
    return Row(seq, seq * 1000, kind, address, length, source, 0.0 if fill else None, flags | extra, content, 0)


FLUSHED = Access(FLUSH, 0, 0)


class Writes(unittest.TestCase):
    a, b, c = write(0, b"a"), write(8, b"b"), write(0, b"c")

    def test_equal_up_to_completion_order(self) -> None:
        verdict = compare([self.a, self.b, FLUSHED, self.c], [self.b, self.a, FLUSHED, self.c, FLUSHED])
        self.assertTrue(verdict.ok, str(verdict))

    def test_each_difference_is_found(self) -> None:
        log = [self.a, self.b, FLUSHED, self.c]
        cases = {
            "missing": [self.a, FLUSHED, self.c],
            "additional": [self.a, self.b, self.b, FLUSHED, self.c],
            "other bytes": [write(0, b"x"), self.b, FLUSHED, self.c],
            "other place": [write(16, b"a"), self.b, FLUSHED, self.c],
            "split in two": [self.a, Access(WRITE, 8, 2048), Access(WRITE, 12, 2048), FLUSHED, self.c],
            "across a flush": [self.a, FLUSHED, self.b, self.c],
            "without the flush": [self.a, self.b, self.c],
            "trim for write": [self.a, Access(TRIM, 8, 4096), FLUSHED, self.c],
        }
        for name, captured in cases.items():
            with self.subTest(name):
                self.assertFalse(compare(captured, log).ok)

    def test_order_of_overlapping_writes_matters(self) -> None:
        self.assertFalse(compare([self.c, self.a], [self.a, self.c]).ok)
        self.assertFalse(compare([Access(TRIM, 0, 8192), self.a], [self.a, Access(TRIM, 0, 8192)]).ok)
        wide = write(0, b"w", 3)
        self.assertFalse(compare([self.a, wide, self.b], [wide, self.a, self.b]).ok)
        self.assertTrue(compare([wide, self.b, self.a], [wide, self.a, self.b]).ok)

    def test_epochs_without_writes_do_not_count(self) -> None:
        self.assertEqual(epochs([FLUSHED, FLUSHED, self.a, FLUSHED, FLUSHED, self.b]), [[self.a], [self.b]])


class Grouping(unittest.TestCase):
    def test_commands(self) -> None:
        rows = [row(0, WRITE, 0, 4096, FIRST, b"a"), row(1, WRITE, 8, 4096, 0, b"b"), row(2, WRITE, 16, 512, LAST, b"c"),
                row(3, READ, 5, 100 * 4096), row(4, TRIM, 0, 512, FIRST), row(5, TRIM, 99, 512, LAST), row(6, FLUSH, 77, 0)]
        commands, verdict = store.group(rows)
        self.assertTrue(verdict.ok, str(verdict))
        self.assertTrue(all(command.complete for command in commands))
        hashes = [hashlib.sha256(b"a" * 4096).digest(), hashlib.sha256(b"b" * 4096).digest(), hashlib.sha256(b"c" * 512).digest()]
        self.assertEqual([access for command in commands for access in command.accesses()],
                         [Access(WRITE, 0, 8704, content_of(hashes)), Access(READ, 5, 409600), Access(TRIM, 0, 512),
                          Access(TRIM, 99, 512), Access(FLUSH, 0, 0)])

    def test_faults(self) -> None:
        cases = {
            "no first": [row(0, WRITE, 0, 4096, LAST)],
            "no last": [row(0, WRITE, 0, 4096, FIRST)],
            "first inside": [row(0, WRITE, 0, 4096, FIRST), row(1, WRITE, 8, 4096)],
            "hole in addresses": [row(0, WRITE, 0, 4096, FIRST), row(1, WRITE, 16, 4096, LAST)],
            "short block inside": [row(0, WRITE, 0, 2048, FIRST), row(1, WRITE, 4, 4096, LAST)],
            "read of two records": [row(0, READ, 0, 4096, FIRST), row(1, READ, 8, 4096, LAST)],
        }
        for name, rows in cases.items():
            with self.subTest(name):
                self.assertFalse(store.group(rows)[1].ok)

    def test_a_gap_cuts_without_fault(self) -> None:
        rows = [row(0, WRITE, 0, 4096, FIRST), row(1, GAP, 1, 2, 0), row(3, WRITE, 24, 4096, LAST), row(4, READ, 0, 512)]
        commands, verdict = store.group(rows)
        self.assertTrue(verdict.ok, str(verdict))
        self.assertEqual([command.complete for command in commands], [False, False, True])

    def test_sequence(self) -> None:
        good = [row(0, READ, 0, 512), row(1, GAP, 1, 5, 0), row(6, READ, 0, 512)]
        self.assertTrue(store.check_sequence(good, end=7).ok)
        self.assertFalse(store.check_sequence(good, end=8).ok)
        self.assertFalse(store.check_sequence(good[:1] + good[2:]).ok)
        self.assertFalse(store.check_sequence(good + [row(6, READ, 0, 512)]).ok)
        self.assertFalse(store.check_sequence([row(0, GAP, 1, 5, 0)]).ok)

    def test_headers_only(self) -> None:
        self.assertTrue(store.check_headers_only(store.group([row(0, READ, 0, 512), row(1, WRITE, 0, 512, fill=b"a")])[0]).ok)
        self.assertFalse(store.check_headers_only(store.group([row(0, READ, 0, 512, fill=b"a")])[0]).ok)


class Reads(unittest.TestCase):
    a, b = Access(READ, 0, 4096), Access(READ, 8, 512)

    def test_order_and_number(self) -> None:
        self.assertTrue(read_trace.compare_block_layer(READ, [self.a, self.b], [self.a, self.b]).ok)
        for captured in ([self.b, self.a], [self.a], [self.a, self.b, self.b], [self.a, Access(READ, 8, 1024)]):
            with self.subTest(captured=captured):
                self.assertFalse(read_trace.compare_block_layer(READ, captured, [self.a, self.b]).ok)

    def test_nothing_traced_is_no_success(self) -> None:
        self.assertFalse(read_trace.compare_block_layer(READ, [], []).ok)

    def test_order_against_the_hba(self) -> None:
        rows = [row(0, READ, 0, 4096), row(1, TRIM, 0, 512, FIRST), row(2, TRIM, 9, 512, LAST), row(3, FLUSH, 0, 0)]
        commands, _ = store.group(rows)
        taken = [HbaCommand(1, 0xC8, self.b, False), HbaCommand(1, 0x60, self.a, True), HbaCommand(0, 0x60, self.b, True),
                 HbaCommand(1, 0xEC, None, True), HbaCommand(1, 6, Access(TRIM, 0, 0), True), HbaCommand(1, 0xE7, FLUSHED, True)]
        self.assertTrue(read_trace.compare_order(commands, Trace(taken), 1).ok)
        self.assertFalse(read_trace.compare_order(commands[:2], Trace(taken), 1).ok)
        self.assertFalse(read_trace.compare_order(commands[::-1], Trace(taken), 1).ok)


class Gaps(unittest.TestCase):
    taken = [(1, Access(WRITE, 0, 8704)), (0, Access(READ, 5, 8192)), (1, FLUSHED), (1, Access(WRITE, 100, 512))]

    def test_to_one_record(self) -> None:
        expected = gap_check.expected_records(self.taken)
        self.assertEqual(len(expected), 6)
        rows = [row(0, WRITE, 0, 4096, FIRST), row(1, GAP, 1, 2, 0), row(3, READ, 5, 8192, source=0), row(4, FLUSH, 0, 0),
                row(5, WRITE, 100, 512)]
        self.assertTrue(gap_check.compare(rows, expected, 6).ok)
        faults = {
            "gap one short": [rows[0], row(1, GAP, 1, 1, 0), *rows[2:]],
            "gap one long": [rows[0], row(1, GAP, 1, 3, 0), *rows[2:]],
            "end missing silently": rows[:-1],
            "wrong record": [*rows[:-1], row(5, WRITE, 108, 512)],
            "one too many": [*rows, row(6, READ, 0, 512)],
        }
        for name, wrong in faults.items():
            with self.subTest(name):
                self.assertFalse(gap_check.compare(wrong, expected).ok)
        self.assertFalse(gap_check.compare(rows, expected, 7).ok)


class Stores(unittest.TestCase):
    """Parquet in the documented layout, read back."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def test_rows_come_back(self) -> None:
        rows = [row(0, WRITE, 1 << 40, 4096, FIRST, b"a"), row(1, WRITE, (1 << 40) + 8, 512, LAST, b"b"), row(2, READ, 3, 512),
                row(3, GAP, 3, 9, 0)]
        write_store(self.root, rows, [b"a" * 4096, b"b" * 512])
        self.assertEqual(store.only_boot(self.root).rows(), rows)
        blocks, verdict = store.read_content(self.root)
        self.assertTrue(verdict.ok)
        self.assertTrue(store.check_content(rows, blocks).ok)
        self.assertEqual(store.only_boot(self.root).counters(), {"records_made": 4})

    def test_bad_content_is_found(self) -> None:
        rows = [row(0, WRITE, 0, 4096, fill=b"a")]
        write_store(self.root, rows, [b"b" * 4096])
        self.assertFalse(store.check_content(rows, store.read_content(self.root)[0]).ok)
        write_store(self.root, rows, [b"a" * 4096, b"a" * 4096])
        self.assertFalse(store.read_content(self.root)[1].ok)

    def test_wrong_entropy_is_found(self) -> None:
        wrong = Row(0, 0, WRITE, 0, 4096, 1, 0.5, FIRST | LAST | HAS_CONTENT | HAS_ENTROPY, hashlib.sha256(b"a" * 4096).digest(), 0)
        self.assertFalse(store.check_content([wrong], {hashlib.sha256(b"a" * 4096).digest(): b"a" * 4096}).ok)

    def test_entropy(self) -> None:
        self.assertEqual(store.entropy_of(bytes(4096)), 0.0)
        self.assertAlmostEqual(store.entropy_of(bytes(range(256)) * 16), 1.0)
        self.assertAlmostEqual(store.entropy_of(b"ab" * 100), 1 / 8)

    def test_images(self) -> None:
        left, right = self.root / "l", self.root / "r"
        left.write_bytes(bytes(8192))
        right.write_bytes(bytes(5120) + b"x" + bytes(3071))
        self.assertTrue(replay_check.compare_images(left, left, "l", "l").ok)
        self.assertIn("lba 10", str(replay_check.compare_images(left, right, "l", "r")))
        right.write_bytes(bytes(4096))
        self.assertFalse(replay_check.compare_images(left, right, "l", "r").ok)


if __name__ == "__main__":
    unittest.main()
