# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The judges of the memory monitor on made-up records: each fault that they are there for is found."""
from __future__ import annotations

import hashlib
import json
import struct
import unittest
from dataclasses import replace

from testbed.witness import memory_touch
from testbed.witness.memory_store import ARMED, EXECUTE, GAP, MODE, PAGE_BYTES, PAGE_WALK, READ, READ_WRITE, WRITE, MemoryRow, complete, of_mode
from testbed.witness.memory_touch import Hammered, Pass, Touched

ADDRESSES = [0x10_0000 + at * 0x3000 for at in range(8)]
KINDS = "wrbmxnnw"
PASSES = [Pass([0, 3, 1, 4, 2, 7], []), Pass([0, 2, 4, 1, 3, 7], [])]
TOUCHED = Touched(ADDRESSES, KINDS, PASSES)
SEEN = {"r": [READ], "w": [WRITE], "b": [READ, READ_WRITE], "m": [READ_WRITE], "x": [EXECUTE]}


class Stream:
    def __init__(self) -> None:
        self.rows: list[MemoryRow] = []

    def add(self, kind: str, address: int = 0, length: int = PAGE_BYTES, source: int = 0, **fields: object) -> None:
        self.rows.append(MemoryRow(len(self.rows), 1000 * len(self.rows), kind, address, length, source, **fields))

    def arm(self) -> None:
        self.add(ARMED, 0, 0x8000_0000, 1)


def right_records() -> Stream:
    stream = Stream()
    stream.add(MODE, 0, 48, 1, request=json.dumps({"mode": "access", "action": "start"}))
    for entry in PASSES:
        stream.arm()
        stream.add(READ, 0x7000_0000)  # somebody else's page
        for page in entry.order:
            stream.add(WRITE, ADDRESSES[page] & ~0xFFF, flags=PAGE_WALK)
            for kind in SEEN[KINDS[page]]:
                stream.add(kind, ADDRESSES[page] + TOUCHED.offset(page))
    return stream


def renumbered(rows: list[MemoryRow]) -> list[MemoryRow]:
    return [replace(row, seq=at) for at, row in enumerate(rows)]


class Kinds(unittest.TestCase):
    def setUp(self) -> None:
        self.rows = right_records().rows

    def judge(self, rows: list[MemoryRow]) -> str:
        verdict = memory_touch.check_kinds(renumbered(rows), TOUCHED)
        self.assertEqual(verdict.ok, not verdict.problems)
        return "; ".join(verdict.problems)

    def at(self, page: int, kind: str) -> int:
        """Index of the first such record."""
        return next(index for index, row in enumerate(self.rows) if row.page == ADDRESSES[page] // PAGE_BYTES and row.kind == kind and not row.flags)

    def test_right_records_pass(self) -> None:
        self.assertEqual(self.judge(self.rows), "")

    def test_output_is_parsed(self) -> None:
        text = json.dumps({"addresses": ADDRESSES, "kinds": KINDS}) + "".join(
            "\n" + json.dumps({"pass": at, "order": entry.order, "moved": []}) for at, entry in enumerate(PASSES))
        self.assertEqual(Touched.parse(text), TOUCHED)

    def test_a_missing_access_is_found(self) -> None:
        del self.rows[self.at(1, READ)]
        self.assertIn("page 1 (r, 0x103000): not seen", self.judge(self.rows))

    def test_a_wrong_kind_is_found(self) -> None:
        at = self.at(4, EXECUTE)
        self.rows[at] = replace(self.rows[at], kind=READ)
        self.assertIn("page 4", self.judge(self.rows))

    def test_a_wrong_order_is_found(self) -> None:
        a, b = self.at(3, READ_WRITE), self.at(1, READ)
        self.rows[a], self.rows[b] = self.rows[b], self.rows[a]
        self.assertIn("order: touch 1 was page 3", self.judge(self.rows))

    def test_a_write_of_an_untouched_page_is_found(self) -> None:
        self.rows.insert(self.at(1, READ), MemoryRow(0, 0, WRITE, ADDRESSES[5], PAGE_BYTES))
        text = self.judge(self.rows)
        self.assertIn("page 5 (n, 0x10f000): seen although not touched", text)
        self.assertIn("never written", text)

    def test_a_write_of_a_page_that_was_read_is_found(self) -> None:
        self.rows.insert(self.at(1, READ) + 1, MemoryRow(0, 0, READ_WRITE, ADDRESSES[1], PAGE_BYTES))
        self.assertIn("never written", self.judge(self.rows))

    def test_another_offset_is_found(self) -> None:
        at = self.at(3, READ_WRITE)
        self.rows[at] = replace(self.rows[at], address=self.rows[at].address + 8)
        self.assertIn("offset 0x38, touched at 0x30", self.judge(self.rows))

    def test_a_page_address_without_offset_will_do(self) -> None:
        at = self.at(3, READ_WRITE)
        self.rows[at] = replace(self.rows[at], address=ADDRESSES[3])
        self.assertEqual(self.judge(self.rows), "")

    def test_arming_between_load_and_store_is_no_fault(self) -> None:
        at = self.at(2, READ_WRITE)
        self.rows[at] = replace(self.rows[at], kind=WRITE)
        self.assertIn("page 2", self.judge(self.rows))
        self.rows.insert(at, MemoryRow(0, 0, ARMED, 0, 0x8000_0000, 1))
        self.assertEqual(self.judge(self.rows), "")

    def test_a_missing_pass_is_found(self) -> None:
        self.assertIn("1 passes in the records, 2 were made", self.judge(self.rows[:len(self.rows) // 2]))

    def test_gaps_and_holes_are_found(self) -> None:
        self.assertTrue(complete(renumbered(self.rows)).ok)
        self.assertFalse(complete(renumbered(self.rows)[1:]).ok)
        self.assertFalse(complete(renumbered([*self.rows, MemoryRow(0, 0, GAP, 0, 1)])).ok)
        self.assertFalse(complete([]).ok)

    def test_rows_of_a_mode(self) -> None:
        rows = [*self.rows, MemoryRow(0, 0, MODE, 0, 48, 1, request=json.dumps({"action": "stop"})), MemoryRow(0, 0, READ, 0, 4096)]
        self.assertEqual(of_mode(rows, "access"), self.rows)
        self.assertEqual(of_mode(rows, "written"), [])


class Patterns(unittest.TestCase):
    SEED = 77
    TOUCHED = Touched(ADDRESSES, "wwwwwwwn", [Pass([0, 2, 1, 3, 4, 5, 6], []), Pass([0, 1, 2, 3, 4, 5, 6], [])])

    def setUp(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.stream = Stream()
        for number, entry in enumerate(self.TOUCHED.passes):
            for page in entry.order:
                self.write(page, memory_touch.pattern(self.SEED, number, page))

    def write(self, page: int, data: bytes) -> None:
        name = hashlib.sha256(data).digest()
        self.blocks[name] = data
        self.stream.add(WRITE, ADDRESSES[page], content=name)

    def judge(self) -> str:
        verdict = memory_touch.check_patterns(self.stream.rows, self.blocks, self.TOUCHED, self.SEED)
        return "; ".join(verdict.problems)

    def test_pattern_is_what_the_program_writes(self) -> None:
        self.assertEqual(struct.unpack_from("<QQ", memory_touch.pattern(5, 3, 9)), (5 + (3 << 48) + (9 << 16), 6 + (3 << 48) + (9 << 16)))
        self.assertEqual(len(memory_touch.pattern(0, 0, 0)), PAGE_BYTES)

    def test_whole_pages_pass(self) -> None:
        self.assertEqual(self.judge(), "")

    def test_a_page_caught_too_early_is_found(self) -> None:
        half = memory_touch.pattern(self.SEED, 1, 3)[:2048] + memory_touch.pattern(self.SEED, 0, 3)[2048:]
        self.write(3, half)
        self.assertIn("page 3 (w, 0x109000) holds words of passes [0, 1] mixed", self.judge())

    def test_a_pattern_that_never_arrived_is_found(self) -> None:
        del self.stream.rows[5]
        self.assertIn("patterns that never arrived: 1", self.judge())

    def test_a_write_of_an_unwritten_page_is_found(self) -> None:
        self.write(7, bytes(8) + bytes([1]) * 4088)
        self.assertIn("page 7 (n, 0x115000) was never written", self.judge())

    def test_a_record_without_content_is_found(self) -> None:
        self.stream.rows[2] = replace(self.stream.rows[2], content=None)
        self.assertIn("has no content", self.judge())


class Shootdowns(unittest.TestCase):
    HAMMERED = Hammered([0x1000, 0x2000], [0x8000, 0x9000, 0xA000, 0xB000], [10, 10], 0)

    def rows(self) -> list[MemoryRow]:
        stream = Stream()
        for turn in range(2):
            stream.add(WRITE, 0x8000 + turn * 0x2000)
            for _ in range(5):
                stream.arm()
                for page in (1, 0):
                    stream.add(WRITE, self.HAMMERED.addresses[page] + 8, source=(page + turn) % 2)
            stream.add(WRITE, 0x9000 + turn * 0x2000)
        return stream.rows

    def judge(self, rows: list[MemoryRow], least: int = 16) -> str:
        return "; ".join(memory_touch.check_shootdowns(renumbered(rows), self.HAMMERED, least).problems)

    def test_every_cycle_has_its_writes(self) -> None:
        self.assertEqual(self.judge(self.rows()), "")
        self.assertIn("16 cycles are too few", self.judge(self.rows(), 17))

    def test_a_kept_translation_is_found(self) -> None:
        rows = self.rows()
        del rows[next(at for at, row in enumerate(rows) if row.page == 1 and at > 6)]
        self.assertIn("turn 0, cycle 2: page 0 has no write by CPU 0", self.judge(rows))

    def test_a_write_by_the_wrong_cpu_does_not_count(self) -> None:
        rows = self.rows()
        at = next(at for at, row in enumerate(rows) if row.page == 1 and at > 6)
        rows[at] = replace(rows[at], source=1 - rows[at].source)
        self.assertIn("page 0 has no write", self.judge(rows))

    def test_a_write_recorded_just_before_the_arming_counts_for_its_cycle(self) -> None:
        rows = self.rows()
        at = next(at for at, row in enumerate(rows) if row.page == 1 and at > 6)
        arming = max(index for index in range(at) if rows[index].kind == ARMED)
        rows.insert(arming, rows.pop(at))
        self.assertEqual(self.judge(rows), "")

    def test_missing_marks_are_found(self) -> None:
        self.assertIn("3 of 4", self.judge(self.rows()[:-1]))


if __name__ == "__main__":
    unittest.main()
