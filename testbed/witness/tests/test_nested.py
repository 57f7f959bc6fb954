# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The reading of nested tables and MTRRs, with the manual's examples, and that each check of the tables can fail."""
from __future__ import annotations

import struct
import tempfile
import unittest
from pathlib import Path

from testbed.witness import bochs_nested, memory_types, nested_check, npt_check
from testbed.witness.bios_check import RESERVED, SYSTEM_RAM, Range
from testbed.witness.memory_types import Mtrrs, Span, spans_of
from testbed.witness.nested_check import Expected, Narrow
from testbed.witness.nested_tables import UNCACHEABLE, WRITE_BACK, WRITE_COMBINING, Ept, Memory, Npt, TableError, walk

GIB, MIB = 1 << 30, 1 << 20
BITS = 33  # 8 GiB
# The sensor has the second 2 MiB, tables at its start; the card's registers are the page at 3 GiB.
REGION = (2 * MIB, 4 * MIB)
TOP, THIRD, SECOND, CARD_SECOND, CARD_FIRST = (2 * MIB + 4096 * number for number in range(5))
CARD = (3 * GIB, 3 * GIB + 4096)
WATCHED = Narrow("HBA", 3 * GIB + 4096, 3 * GIB + 8192, {"running": "r--", "stepping": "rwx"})
TABLE, PAGE_WB, LARGE_WB, PAGE_UC, LARGE_UC = 7, 7 | 6 << 3, 7 | 6 << 3 | 1 << 7, 7, 7 | 1 << 7
# Memory is write-back below 3 GiB, above it nothing is cached.
TYPES = [Span(0, 3 * GIB, WRITE_BACK), Span(3 * GIB, 8 * GIB, UNCACHEABLE)]
EXPECTED = Expected(BITS, REGION, [CARD], [Range(0, 2 * MIB, SYSTEM_RAM), Range(*REGION, RESERVED), Range(4 * MIB, 3 * GIB, SYSTEM_RAM)],
                    [WATCHED], types=TYPES)


class Tables:
    """Good tables; `set` spoils one entry."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "memory"
        self.words = {TOP: THIRD | TABLE, THIRD: SECOND | TABLE, THIRD + 3 * 8: CARD_SECOND | TABLE, CARD_SECOND: CARD_FIRST | TABLE}
        for index in (1, 2, 4, 5, 6, 7):
            self.words[THIRD + index * 8] = index * GIB | (LARGE_WB if index < 3 else LARGE_UC)
        for index in range(512):
            if index != 1:
                self.words[SECOND + index * 8] = index * 2 * MIB | LARGE_WB
            if index != 0:
                self.words[CARD_SECOND + index * 8] = 3 * GIB + index * 2 * MIB | LARGE_UC
                self.words[CARD_FIRST + index * 8] = 3 * GIB + index * 4096 | PAGE_UC
        self.words[CARD_FIRST + 8] = 3 * GIB + 4096 | 1

    def write(self) -> Memory:
        with self.path.open("wb") as file:
            file.truncate(4 * MIB)
            for address, word in self.words.items():
                file.seek(address)
                file.write(struct.pack("<Q", word))
        return Memory(self.path)


class NestedTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.tables = Tables(Path(temporary.name))

    def problems(self, expected: Expected = EXPECTED, view: str = "running") -> list[str]:
        return nested_check.check("tables", self.tables.write(), Ept(BITS), {view: TOP}, expected).problems

    def spoiled(self, address: int, word: int) -> str:
        self.tables.words[address] = word
        found = self.problems()
        self.assertTrue(found)
        return "\n".join(found)

    def test_good_tables(self) -> None:
        self.assertEqual(self.problems(), [])
        found = walk(self.tables.write(), Ept(BITS), TOP)
        self.assertEqual((len(found.leaves), len(found.tables)), (6 + 511 + 511 + 511, 5))
        self.assertEqual(found.holes(8 * GIB), [REGION, CARD])

    def test_the_sensor_mapped(self) -> None:
        self.assertIn("open to the guest", self.spoiled(SECOND + 8, 2 * MIB | LARGE_WB))

    def test_the_card_mapped(self) -> None:
        self.assertIn("open to the guest", self.spoiled(CARD_FIRST, 3 * GIB | 1))

    def test_memory_missing(self) -> None:
        self.assertIn("closed to the guest", self.spoiled(THIRD + 2 * 8, 0))

    def test_the_sensor_by_another_address(self) -> None:
        self.assertIn("lead elsewhere", self.spoiled(SECOND + 2 * 8, 2 * MIB | LARGE_WB))

    def test_watched_registers_writable_or_executable(self) -> None:
        for rights in (3, 5, 7):
            self.assertIn("rights", self.spoiled(CARD_FIRST + 8, 3 * GIB + 4096 | rights))

    def test_watched_registers_not_mapped(self) -> None:
        self.assertIn("not mapped", self.spoiled(CARD_FIRST + 8, 0))

    def test_a_view_has_its_own_rights(self) -> None:
        self.assertIn("rights", self.problems(view="stepping")[0])

    def test_rights_are_those_of_all_levels(self) -> None:
        self.assertIn("rights", self.spoiled(THIRD, SECOND | 5))

    def test_memory_without_a_right(self) -> None:
        self.assertIn("rights", self.spoiled(SECOND, 0 | 6 << 3 | 1 << 7 | 3))

    def test_types(self) -> None:
        self.assertIn("memory types", self.spoiled(THIRD + 8, GIB | LARGE_UC))
        # One entry over a change of types.
        self.tables = Tables(self.tables.path.parent)
        crossing = Expected(BITS, REGION, [CARD], EXPECTED.memory_map, [WATCHED], types=[Span(0, 5 * GIB, WRITE_BACK), Span(5 * GIB, 8 * GIB, 0)])
        self.assertIn("memory types", "\n".join(self.problems(crossing)))

    def test_forbidden_entries(self) -> None:
        for word, text in ((LARGE_WB | 1 << 40, "address above"), (2 | 1 << 7, "not readable"), (LARGE_WB | 1 << 13, "not aligned"),
                           (7 | 2 << 3 | 1 << 7, "memory type 2"), (LARGE_WB | 1 << 6, "PAT")):
            self.assertIn(text, self.spoiled(SECOND, word))

    def test_tables_of_the_guest(self) -> None:
        self.tables.words[THIRD + 8] = 4096 | TABLE
        self.assertIn("tables outside", "\n".join(self.problems()))

    def test_endless_tables(self) -> None:
        self.tables.words[THIRD] = THIRD | TABLE
        found = walk(self.tables.write(), Ept(BITS), TOP)
        self.assertGreater(len(found.tables), len(set(found.tables)))
        self.tables.words[TOP] = 8 * MIB | TABLE
        with self.assertRaises(TableError):
            self.problems()

    def test_a_memory_map_with_the_sensor(self) -> None:
        offered = Expected(BITS, REGION, [CARD], [Range(0, 3 * GIB, SYSTEM_RAM)], [WATCHED], types=TYPES)
        self.assertIn("offers the sensor's memory", self.problems(offered)[0])

    def test_guarded_pages_may_be_closed(self) -> None:
        self.tables.words[CARD_FIRST + 5 * 8] = 0
        self.assertIn("without need", self.problems()[0])
        guarded = Expected(BITS, REGION, [CARD], EXPECTED.memory_map, [WATCHED], [(3 * GIB, 3 * GIB + 2 * MIB)], TYPES)
        self.assertEqual(self.problems(guarded), [])

    def test_the_log_names_the_roots(self) -> None:
        log = self.tables.path.with_name("sensor.log")
        log.write_text("0 1.0 info: undercroft: vmx, 1 CPUs, region 0x19e00000 + 0x2000000, TSC\n"
                       "1 1.0 info: nested tables: running 0x19ee6000, stepping 0x19eeb000, further 0x19ef0000\n", encoding="ascii")
        found = nested_check.SensorLog.read(log)
        self.assertEqual(found.region, (0x19E00000, 0x1BE00000))
        self.assertEqual(found.roots, {"running": 0x19EE6000, "stepping": 0x19EEB000, "further": 0x19EF0000})
        log.write_text("0 1.0 info: undercroft: vmx, 1 CPUs, region 0x19e00000 + 0x2000000, TSC\n", encoding="ascii")
        with self.assertRaises(OSError):
            nested_check.SensorLog.read(log)

    def test_npt_entries(self) -> None:
        npt = Npt(40)
        page = npt.decode(0x5000 | 0x67, 1)  # present, writable, user, accessed, dirty
        self.assertEqual((page.address, page.read, page.write, page.execute, page.memory_type, page.faults), (0x5000, True, True, True, None, ()))
        self.assertFalse(npt.decode(0x5000 | 0x67 | 1 << 63, 1).execute)
        self.assertFalse(npt.decode(0x5000 | 0x65, 1).write)
        self.assertEqual(npt.decode(0x5000 | 0x7F, 1).memory_type, UNCACHEABLE)
        self.assertFalse(npt.decode(0x5000 | 0x66, 1).present)
        for entry, level in ((0x5063, 1), (0x50E7, 1), (1 << 21 | 0x10E7, 2), (1 << 21 | 0x40E7, 2), (1 << 45 | 0x67, 1), (0xE7, 4)):
            self.assertNotEqual(npt.decode(entry, level).faults, (), hex(entry))

    def test_vmcbs_are_found(self) -> None:
        for offset, word in ((npt_check.VMRUN_INTERCEPT, 1), (npt_check.ASID, 1), (npt_check.NESTED, 1), (npt_check.NESTED_ROOT, 0x1234000)):
            self.tables.words[3 * MIB + offset * 8] = word
        self.assertEqual(npt_check.vmcb_roots(self.tables.write()), [0x1234000])


class MtrrTest(unittest.TestCase):
    def test_example_of_the_manual(self) -> None:
        """SDM volume 3A, "Base and Mask Calculations": 0 to 100 MiB write-back but 4 to 8 MiB and 15 to 16 MiB uncached,
        A0000000h to A07FFFFFh write-combining. 36 address bits."""
        variable = ((0x6, 0xFFC000800), (0x4000006, 0xFFE000800), (0x6000006, 0xFFFC00800), (0x400000, 0xFFFC00800),
                    (0xF00000, 0xFFFF00800), (0xA0000001, 0xFFF800800), (0x12345000, 0))
        found = spans_of(Mtrrs(1 << 11, (0,) * 11, variable, 7), 36)
        wb, uc, wc = WRITE_BACK, UNCACHEABLE, WRITE_COMBINING
        self.assertEqual(found, [Span(0, 4 * MIB, wb), Span(4 * MIB, 8 * MIB, uc), Span(8 * MIB, 15 * MIB, wb), Span(15 * MIB, 16 * MIB, uc),
                                 Span(16 * MIB, 100 * MIB, wb), Span(100 * MIB, 0xA0000000, uc), Span(0xA0000000, 0xA0800000, wc),
                                 Span(0xA0800000, 1 << 36, uc)])

    def test_fixed_ranges(self) -> None:
        fixed = (0x0606060606060606, 0x0606060606060606, 0, 0x0505050505050505, 0, 0, 0, 0, 0, 0, 0x0606060606060600)
        found = spans_of(Mtrrs(3 << 10 | 6, fixed, (), 1 << 8), 36)
        self.assertEqual(found, [Span(0, 0xA0000, 6), Span(0xA0000, 0xC0000, 0), Span(0xC0000, 0xC8000, 5), Span(0xC8000, 0xF9000, 0),
                                 Span(0xF9000, 1 << 36, 6)])
        self.assertEqual(spans_of(Mtrrs(1 << 11 | 6, fixed, (), 1 << 8), 36), [Span(0, 1 << 36, 6)])

    def test_switched_off(self) -> None:
        self.assertEqual(spans_of(Mtrrs(6, (0,) * 11, ((6, 0xFFC000800),), 1), 36), [Span(0, 1 << 36, UNCACHEABLE)])

    def test_what_the_manual_leaves_undefined(self) -> None:
        with self.assertRaises(memory_types.MtrrError):
            spans_of(Mtrrs(1 << 11, (0,) * 11, ((6, 0xFFC000800), (1, 0xFFC000800)), 2), 36)


class BochsTest(unittest.TestCase):
    def test_the_card_is_where_it_was_put_last(self) -> None:
        log = "1i[E1000A] BAR #0: mem base address = 0x80000000\n2i[E1000A] BAR #0: mem base address = 0xc0000000\n"
        self.assertEqual(bochs_nested.card_of(log), (0xC0000000, 0xC0020000))
        with self.assertRaises(OSError):
            bochs_nested.card_of("")

    def test_the_apic_is_watched_while_cpus_start(self) -> None:
        cpu = bochs_nested.Registers(0, 0xFEE00900, Mtrrs(0, (), (), 0))
        self.assertEqual([(one.begin, one.end) for one in bochs_nested.watched("start", [cpu], 2)], [(0xFEE00000, 0xFEE01000)])
        self.assertEqual(bochs_nested.watched("start", [cpu], 1), [])
        self.assertEqual(bochs_nested.watched("booted", [cpu], 2), [])


if __name__ == "__main__":
    unittest.main()
