# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Makes Volatility 3's symbol table (ISF) of a Linux guest from what the guest itself tells: /sys/kernel/btf/vmlinux,
/proc/kallsyms and /proc/version. btf.py --btf FILE --kallsyms FILE --version FILE --out TABLE.json

BTF (Documentation/bpf/btf.rst of the kernel) has no types for most variables; those that Volatility looks at by type
are named here.
"""
from __future__ import annotations

import argparse
import base64
import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

(INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG,
 TYPE_TAG, ENUM64) = range(1, 20)
_MODIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
VARIABLES = {"init_task": "task_struct", "init_files": "files_struct", "init_mm": "mm_struct", "init_pid_ns": "pid_namespace",
             "init_nsproxy": "nsproxy", "modules": "list_head", "super_blocks": "list_head", "iomem_resource": "resource", "tk_core": "tk_core_layout"}
# Documentation/x86/x86_64/mm.rst; CONFIG_PHYSICAL_START is 16 MiB.
KERNEL_MAP, LINKED_TEXT = 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_8100_0000
Isf = dict[str, Any]


class BtfError(Exception):
    """The bytes are not BTF."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    type: int
    offset: int  # in bits; of enumerators: the value
    bits: int = 0  # 0: no bit field


@dataclass(slots=True)
class Type:
    kind: int
    name: str
    value: int  # size, or the type referred to
    flag: bool = False
    members: list[Member] = field(default_factory=list)
    extra: int = 0  # INT: encoding word; ARRAY: number of elements


def parse(data: bytes) -> list[Type]:
    """All types by number; number 0 is void."""
    if len(data) < 24:
        raise BtfError("shorter than a header")
    magic, version, _, header_bytes, types_at, types_bytes, names_at, names_bytes = struct.unpack_from("<HBBIIIII", data)
    if magic != 0xEB9F or version != 1:
        raise BtfError(f"magic {magic:#x}, version {version}")
    if header_bytes + max(types_at + types_bytes, names_at + names_bytes) > len(data):
        raise BtfError("cut short")
    names = data[header_bytes + names_at:header_bytes + names_at + names_bytes]
    body = data[header_bytes + types_at:header_bytes + types_at + types_bytes]

    def name_at(offset: int) -> str:
        return names[offset:names.index(0, offset)].decode("ascii", "replace")

    types = [Type(0, "void", 0)]
    at = 0
    try:
        while at < len(body):
            name, info, value = struct.unpack_from("<III", body, at)
            at += 12
            one = Type(info >> 24 & 0x1F, name_at(name), value, bool(info >> 31))
            at = _parse_rest(one, info & 0xFFFF, body, at, name_at)
            types.append(one)
    except (struct.error, ValueError) as error:
        raise BtfError(f"type {len(types)}: {error}") from error
    return types


def _parse_rest(one: Type, count: int, body: bytes, at: int, name_at: Any) -> int:
    """What follows a type's first twelve bytes; returns where the next type begins."""
    if one.kind in (INT, VAR, DECL_TAG):
        one.extra = struct.unpack_from("<I", body, at)[0]
        return at + 4
    if one.kind == ARRAY:
        one.value, _, one.extra = struct.unpack_from("<III", body, at)
        return at + 12
    if one.kind in (STRUCT, UNION):
        for number in range(count):
            name, kind, offset = struct.unpack_from("<III", body, at + 12 * number)
            bits = offset >> 24 if one.flag else 0
            one.members.append(Member(name_at(name), kind, offset & 0xFFFFFF if one.flag else offset, bits))
        return at + 12 * count
    if one.kind == ENUM:
        for number in range(count):
            name, value = struct.unpack_from("<Ii" if one.flag else "<II", body, at + 8 * number)
            one.members.append(Member(name_at(name), 0, value))
        return at + 8 * count
    if one.kind == ENUM64:
        for number in range(count):
            name, value = struct.unpack_from("<Iq" if one.flag else "<IQ", body, at + 12 * number)
            one.members.append(Member(name_at(name), 0, value))
        return at + 12 * count
    if one.kind == FUNC_PROTO:
        return at + 8 * count
    if one.kind == DATASEC:
        return at + 12 * count
    if not 1 <= one.kind <= ENUM64:
        raise ValueError(f"kind {one.kind}")
    return at


class Table:
    """Turns types into ISF's form."""

    def __init__(self, types: list[Type]) -> None:
        self._types = types
        self.base_types: Isf = {"void": {"size": 0, "signed": False, "kind": "void", "endian": "little"},
                                "pointer": {"size": 8, "signed": False, "kind": "int", "endian": "little"}}
        self.user_types: Isf = {}
        self.enums: Isf = {}
        for number, one in enumerate(types):
            if one.kind in (STRUCT, UNION):
                self.user_types.setdefault(self._name(number), self._user_type(one))
            elif one.kind in (ENUM, ENUM64):
                self.enums.setdefault(self._name(number), self._enum(one))
            elif one.kind in (INT, FLOAT):
                self.base_types.setdefault(one.name, _base(one))
        for name in ("int", "unsigned int", "long int"):  # enumerations name them
            self.base_types.setdefault(name, {"size": 8 if "long" in name else 4, "signed": "unsigned" not in name, "kind": "int", "endian": "little"})

    def _name(self, number: int) -> str:
        return self._types[number].name or f"unnamed_{number}"

    def reference(self, number: int) -> Isf:
        one = self._types[number]
        while one.kind in _MODIFIERS:
            number = one.value
            one = self._types[number]
        if one.kind == PTR:
            return {"kind": "pointer", "subtype": self.reference_to(one.value)}
        if one.kind == ARRAY:
            return {"kind": "array", "count": one.extra, "subtype": self.reference(one.value)}
        if one.kind in (STRUCT, UNION):
            return {"kind": "struct" if one.kind == STRUCT else "union", "name": self._name(number)}
        if one.kind in (ENUM, ENUM64):
            return {"kind": "enum", "name": self._name(number)}
        if one.kind == FWD:
            return {"kind": "base", "name": "void"} if one.name not in self.user_types else {"kind": "struct", "name": one.name}
        if one.kind in (FUNC, FUNC_PROTO):
            return {"kind": "function"}
        return {"kind": "base", "name": one.name}

    def reference_to(self, number: int) -> Isf:
        """What a pointer points to."""
        return self.reference(number) if number else {"kind": "base", "name": "void"}

    def _user_type(self, one: Type) -> Isf:
        fields: Isf = {}
        for number, member in enumerate(one.members):
            kind = self.reference(member.type)
            offset = member.offset // 8
            if member.bits:
                size = self._size(member.type)
                offset = member.offset // 8 // size * size
                kind = {"kind": "bitfield", "bit_position": member.offset - offset * 8, "bit_length": member.bits, "type": kind}
            entry: Isf = {"type": kind, "offset": offset}
            if not member.name:
                entry["anonymous"] = True
            fields[member.name or f"unnamed_field_{number}"] = entry
        return {"size": one.value, "fields": fields, "kind": "struct" if one.kind == STRUCT else "union"}

    def _size(self, number: int) -> int:
        one = self._types[number]
        while one.kind in _MODIFIERS:
            one = self._types[one.value]
        return max(one.value, 1) if one.kind in (INT, ENUM, ENUM64) else 8

    @staticmethod
    def _enum(one: Type) -> Isf:
        base = "long int" if one.kind == ENUM64 else "int" if one.flag else "unsigned int"
        return {"size": one.value, "base": base, "constants": {member.name: member.offset for member in one.members}}


def _base(one: Type) -> Isf:
    signed, char, boolean = (bool(one.extra >> 24 & bit) for bit in (1, 2, 4))
    kind = "float" if one.kind == FLOAT else "bool" if boolean else "char" if char or (one.value == 1 and "char" in one.name) else "int"
    return {"size": one.value, "signed": signed or one.kind == FLOAT, "kind": kind, "endian": "little"}


def symbols_of(kallsyms: str) -> dict[str, int]:
    """The kernel's own; of several with one name the first. Modules' are left out."""
    found: dict[str, int] = {}
    for line in kallsyms.splitlines():
        parts = line.split()
        if len(parts) == 3:
            found.setdefault(parts[2], int(parts[0], 16))
    return found


def at_link_time(symbols: dict[str, int]) -> dict[str, int]:
    """Without the kernel's random offset, which Volatility finds by itself (VMCOREINFO's KERNELOFFSET)."""
    if "_text" not in symbols or not symbols["_text"]:
        raise BtfError("kallsyms does not tell addresses (read it as root)")
    offset = symbols["_text"] - LINKED_TEXT
    return {name: address - offset if address >= KERNEL_MAP else address for name, address in symbols.items()}


def make_table(btf: bytes, kallsyms: str, version: str) -> Isf:
    table = Table(parse(btf))
    # kernel/time/timekeeping.c: an unnamed struct, of which BTF says nothing.
    if "timekeeper" in table.user_types:
        seconds = {"type": {"kind": "struct", "name": "timekeeper"}, "offset": 8}
        table.user_types["tk_core_layout"] = {"size": 8 + table.user_types["timekeeper"]["size"], "kind": "struct", "fields": {"timekeeper": seconds}}
    symbols: Isf = {}
    for name, address in at_link_time(symbols_of(kallsyms)).items():
        kind: Isf = {"kind": "base", "name": "void"}
        if VARIABLES.get(name) in table.user_types:
            kind = {"kind": "struct", "name": VARIABLES[name]}
        symbols[name] = {"address": address, "type": kind}
    banner = version.rstrip("\n").encode("ascii", "replace") + b"\n\x00"
    if "linux_banner" not in symbols:
        raise BtfError("kallsyms has no linux_banner")
    symbols["linux_banner"] |= {"type": {"kind": "array", "count": len(banner), "subtype": {"kind": "base", "name": "char"}},
                                "constant_data": base64.b64encode(banner).decode("ascii")}
    metadata = {"format": "6.2.0", "producer": {"name": "undercroft", "version": "1"},
                "linux": {"symbols": [{"kind": "symtab", "name": "kallsyms"}], "types": [{"kind": "dwarf", "name": "btf"}]}}
    return {"metadata": metadata, "base_types": table.base_types, "user_types": table.user_types, "enums": table.enums, "symbols": symbols}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("btf", "kallsyms", "version", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    try:
        table = make_table(options.btf.read_bytes(), options.kallsyms.read_text(encoding="ascii"), options.version.read_text(encoding="ascii"))
    except (BtfError, OSError) as error:
        print(f"btf.py: error: {error}", file=sys.stderr)
        return 1
    options.out.write_text(json.dumps(table), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
