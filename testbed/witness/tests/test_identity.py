# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The identity comparison finds one changed bit and overlooks measured speeds only."""
from __future__ import annotations

import unittest

from testbed.witness.identity_check import compare_cpuid, compare_text, parse_cpuid

CPUID = "".join(f"CPU {cpu}:\n" + "".join(
    f"   0x{leaf:08x} 0x00: eax=0x0000000d ebx=0x68747541 ecx=0x444d4163 edx=0x{cpu:08x}\n" for leaf in range(12)) for cpu in range(2))


class Identity(unittest.TestCase):
    def test_cpuid(self) -> None:
        self.assertEqual(len(parse_cpuid(CPUID)), 24)
        self.assertEqual(parse_cpuid(CPUID)["CPU 1", "0x00000001", "0x00"][3], "0x00000001")
        self.assertTrue(compare_cpuid(CPUID, CPUID).ok)

    def test_one_bit_or_leaf_less_is_found(self) -> None:
        self.assertIn("CPU 1 0x00000002 0x00: ecx 0x444d4163 without, 0x444d4162 with", str(compare_cpuid(CPUID, self.changed())))
        self.assertFalse(compare_cpuid(CPUID, CPUID[: CPUID.rindex("   0x")]).ok)
        self.assertFalse(compare_cpuid("", "").ok)

    @staticmethod
    def changed() -> str:
        head, cpu, tail = CPUID.partition("CPU 1:\n")
        lines = tail.splitlines(keepends=True)
        lines[2] = lines[2].replace("ecx=0x444d4163", "ecx=0x444d4162")
        return head + cpu + "".join(lines)

    def test_text(self) -> None:
        bare = "Model name: X\nBogoMIPS:  4000.12\nFlags: svm\n"
        self.assertTrue(compare_text("lscpu", bare, bare.replace("4000", "4001")).ok)
        self.assertFalse(compare_text("lscpu", bare, bare.replace(" svm", "")).ok)
        self.assertFalse(compare_text("lscpu", bare, bare + "Hypervisor vendor: Y\n").ok)
        self.assertFalse(compare_text("lscpu", "", "").ok)


if __name__ == "__main__":
    unittest.main()
