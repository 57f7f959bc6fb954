# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""BTF put together here, as the kernel's documentation lays it out, becomes Volatility's table."""
from __future__ import annotations

import base64
import re
import struct
import unittest

from testbed import btf

KALLSYMS = "ffffffff81000000 T _text\nffffffff82a00000 D init_task\nffffffff82100000 R linux_banner\nffffffffc0000000 t helper\t[module]\n"
VERSION = "Linux version 6.1.0 (somebody)\n"


class Maker:
    """Types in the order in which they are added, from number 1."""

    def __init__(self) -> None:
        self.names = b"\0"
        self.types = b""

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.names)
        self.names += text.encode() + b"\0"
        return at

    def add(self, name: str, kind: int, value: int, rest: bytes = b"", members: int = 0, flag: bool = False) -> None:
        self.types += struct.pack("<III", self.name(name), kind << 24 | members | flag << 31, value) + rest

    def data(self) -> bytes:
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.names)) + self.types + self.names


def sample() -> bytes:
    maker = Maker()
    maker.add("int", btf.INT, 4, struct.pack("<I", 1 << 24 | 32))  # 1
    maker.add("char", btf.INT, 1, struct.pack("<I", 8))  # 2
    maker.add("", btf.ARRAY, 0, struct.pack("<III", 2, 1, 16))  # 3
    maker.add("", btf.PTR, 5)  # 4
    members = [(maker.name("pid"), 7, 0), (maker.name("bit"), 1, 3 << 24 | 37), (maker.name("comm"), 3, 64), (maker.name("parent"), 4, 192), (0, 6, 256)]
    maker.add("task_struct", btf.STRUCT, 40, b"".join(struct.pack("<III", *member) for member in members), len(members), True)  # 5
    maker.add("", btf.UNION, 4, struct.pack("<III", maker.name("inside"), 1, 0), 1)  # 6
    maker.add("pid_t", btf.TYPEDEF, 8)  # 7
    maker.add("", btf.CONST, 1)  # 8
    maker.add("state", btf.ENUM, 4, struct.pack("<Ii", maker.name("dead"), -1), 1, True)  # 9
    maker.add("", btf.PTR, 0)  # 10
    maker.add("call", btf.FUNC_PROTO, 1, struct.pack("<II", 0, 1), 1)  # 11
    maker.add("big", btf.ENUM64, 8, struct.pack("<IQ", maker.name("far"), 1 << 40), 1)  # 12
    return maker.data()


class Btf(unittest.TestCase):
    def setUp(self) -> None:
        self.table = btf.make_table(sample(), KALLSYMS, VERSION)

    def test_structure(self) -> None:
        task = self.table["user_types"]["task_struct"]
        self.assertEqual((task["size"], task["kind"]), (40, "struct"))
        fields = task["fields"]
        self.assertEqual(fields["pid"], {"offset": 0, "type": {"kind": "base", "name": "int"}})
        self.assertEqual(fields["comm"], {"offset": 8, "type": {"kind": "array", "count": 16, "subtype": {"kind": "base", "name": "char"}}})
        self.assertEqual(fields["parent"]["type"], {"kind": "pointer", "subtype": {"kind": "struct", "name": "task_struct"}})
        self.assertEqual(fields["bit"], {"offset": 4, "type": {"kind": "bitfield", "bit_position": 5, "bit_length": 3, "type": {"kind": "base", "name": "int"}}})
        self.assertEqual(fields["unnamed_field_4"], {"offset": 32, "anonymous": True, "type": {"kind": "union", "name": "unnamed_6"}})
        self.assertIn("unnamed_6", self.table["user_types"])

    def test_enumerations_and_bases(self) -> None:
        self.assertEqual(self.table["enums"]["state"], {"size": 4, "base": "int", "constants": {"dead": -1}})
        self.assertEqual(self.table["enums"]["big"]["constants"], {"far": 1 << 40})
        self.assertEqual(self.table["base_types"]["int"], {"size": 4, "signed": True, "kind": "int", "endian": "little"})
        self.assertEqual(self.table["base_types"]["char"]["kind"], "char")

    def test_symbols(self) -> None:
        symbols = self.table["symbols"]
        self.assertEqual(symbols["init_task"], {"address": 0xFFFFFFFF82A00000, "type": {"kind": "struct", "name": "task_struct"}})
        self.assertNotIn("helper", symbols)
        self.assertEqual(base64.b64decode(symbols["linux_banner"]["constant_data"]), VERSION.encode() + b"\0")

    def test_symbols_are_those_of_link_time(self) -> None:
        moved = KALLSYMS.replace("ffffffff8", "ffffffff9") + "0000000000000000 A fixed_percpu_data\n"
        symbols = btf.make_table(sample(), moved, VERSION)["symbols"]
        self.assertEqual(symbols["init_task"]["address"], 0xFFFFFFFF82A00000)
        self.assertEqual(symbols["fixed_percpu_data"]["address"], 0)

    def test_no_addresses_for_others_than_root(self) -> None:
        with self.assertRaises(btf.BtfError):
            btf.make_table(sample(), re.sub("ffffffff8[0-9a-f]{7}", "0" * 16, KALLSYMS), VERSION)

    def test_damaged_bytes(self) -> None:
        data = sample()
        for size in range(len(data)):
            with self.assertRaises(btf.BtfError):
                btf.parse(data[:size])
        with self.assertRaises(btf.BtfError):
            btf.parse(b"\0" * 64)


if __name__ == "__main__":
    unittest.main()
