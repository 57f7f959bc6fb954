# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The memory map's check, with maps as they are and as they must not be."""
from __future__ import annotations

import unittest

from testbed.witness.bios_check import RESERVED, SYSTEM_RAM, Range, covered, parse_map

MAP = ("0x100000 0x7a1fffff System RAM;0x0 0x9cfff System RAM;0x9d000 0x9ffff Reserved;"
       "0x7a200000 0x7fdfffff Reserved;0x7fe00000 0x7ffdbfff System RAM;0x7ffdc000 0x7fffffff Reserved;")


class MapTest(unittest.TestCase):
    def setUp(self) -> None:
        self.ranges = parse_map(MAP)

    def test_sorted_with_ends_one_behind(self) -> None:
        self.assertEqual(len(self.ranges), 6)
        self.assertEqual(self.ranges[0], Range(0, 0x9D000, SYSTEM_RAM))
        self.assertEqual(self.ranges[-1].end, 0x80000000)

    def test_covered(self) -> None:
        self.assertTrue(covered(self.ranges, 0x7A200000, 0x7FE00000, RESERVED))
        self.assertFalse(covered(self.ranges, 0x7A200000, 0x7FE00001, RESERVED))
        self.assertFalse(covered(self.ranges, 0x7A1FF000, 0x7A201000, RESERVED))

    def test_a_hole_covers_nothing(self) -> None:
        self.assertFalse(covered(self.ranges, 0xA0000, 0xA1000, RESERVED))
        self.assertFalse(covered(self.ranges, 0x9D000, 0xA0001, RESERVED))

    def test_overlapping_kinds_do_not_count(self) -> None:
        ranges = sorted([*self.ranges, Range(0x7A200000, 0x7A300000, SYSTEM_RAM)], key=lambda entry: entry.start)
        self.assertFalse(covered(ranges, 0x7A200000, 0x7FE00000, RESERVED))


if __name__ == "__main__":
    unittest.main()
