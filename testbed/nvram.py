# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Writes boot entries into a copy of OVMF's variable store, as an installer would into a real machine's.

Layouts: UEFI specification, "Boot Manager" (load options), "Device Path Protocol"; EDK II
`MdeModulePkg/Include/Guid/VariableFormat.h` (store and variable headers).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from pathlib import Path

VOLUME_GUID = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
STORE_GUID = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
GLOBAL_GUID = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
STORE_HEADER_SIZE = 28
VARIABLE_HEADER = struct.Struct("<HBBIQ16sIII16s")
VARIABLE_START = 0x55AA
VARIABLE_ADDED = 0x3F
NON_VOLATILE_BOOT_RUNTIME = 0x7
LOAD_OPTION_ACTIVE = 0x1


class NvramError(Exception):
    """The variable store has another layout than expected, or is full."""


@dataclass(frozen=True)
class Partition:
    """A GPT partition, as a device path names it; sectors of 512 bytes."""

    number: int
    first_sector: int
    sectors: int
    guid: uuid.UUID


@dataclass(frozen=True)
class BootEntry:
    description: str
    path: str  # on the ESP, with backslashes
    options: str = ""


def _node(kind: int, subkind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, subkind, 4 + len(body)) + body


def _text(value: str) -> bytes:
    return value.encode("utf-16-le") + b"\0\0"


def file_device_path(port: int | None, partition: Partition, path: str) -> bytes:
    """PciRoot(0)/Pci(1f,2)/Sata(port)/HD(partition)/path: q35's own AHCI controller. Without a port HD(partition)/path:
    the firmware looks for the partition on all disks."""
    controller = b"" if port is None else (
        _node(2, 1, struct.pack("<II", 0x0A0341D0, 0))
        + _node(1, 1, struct.pack("<BB", 2, 0x1F))
        + _node(3, 18, struct.pack("<HHH", port, 0xFFFF, 0)))
    return (
        controller
        + _node(4, 1, struct.pack("<IQQ16sBB", partition.number, partition.first_sector, partition.sectors,
                                  partition.guid.bytes_le, 2, 2))
        + _node(4, 4, _text(path))
        + _node(0x7F, 0xFF, b"")
    )


def load_option(entry: BootEntry, port: int | None, partition: Partition) -> bytes:
    device_path = file_device_path(port, partition, entry.path)
    header = struct.pack("<IH", LOAD_OPTION_ACTIVE, len(device_path))
    options = _text(entry.options) if entry.options else b""
    return header + _text(entry.description) + device_path + options


def _variable(name: str, data: bytes) -> bytes:
    encoded = _text(name)
    header = VARIABLE_HEADER.pack(VARIABLE_START, VARIABLE_ADDED, 0, NON_VOLATILE_BOOT_RUNTIME, 0, bytes(16), 0,
                                  len(encoded), len(data), GLOBAL_GUID.bytes_le)
    return header + encoded + data


def _free_space(store: bytes) -> tuple[int, int]:
    """Offset of the first free byte and of the end of the variable store."""
    if store[16:32] != VOLUME_GUID.bytes_le or store[40:44] != b"_FVH":
        raise NvramError("this is not an OVMF variable store (no EFI system NV data volume)")
    (volume_header,) = struct.unpack_from("<H", store, 48)
    if store[volume_header:volume_header + 16] != STORE_GUID.bytes_le:
        raise NvramError("the variable store is not of the authenticated kind")
    (size,) = struct.unpack_from("<I", store, volume_header + 16)
    offset = volume_header + STORE_HEADER_SIZE
    while struct.unpack_from("<H", store, offset)[0] == VARIABLE_START:
        fields = VARIABLE_HEADER.unpack_from(store, offset)
        offset += VARIABLE_HEADER.size + fields[7] + fields[8]
        offset += -offset % 4
    return offset, volume_header + size


def add_variables(store: bytes, variables: dict[str, bytes]) -> bytes:
    """A copy of `store` with these global, non-volatile variables added. Names must not exist there yet."""
    result = bytearray(store)
    offset, end = _free_space(store)
    for name, data in variables.items():
        encoded = _variable(name, data)
        if offset + len(encoded) > end:
            raise NvramError(f"no room for the variable {name}")
        result[offset:offset + len(encoded)] = encoded
        offset += len(encoded) + (-len(encoded) % 4)
    return bytes(result)


def boot_variables(entries: list[BootEntry], port: int | None, partition: Partition,
                   drivers: list[BootEntry] | None = None) -> dict[str, bytes]:
    """Boot#### and BootOrder for `entries` in this order; Driver#### and DriverOrder likewise."""
    variables: dict[str, bytes] = {}
    for kind, listed in (("Boot", entries), ("Driver", drivers or [])):
        if not listed:
            continue
        for number, entry in enumerate(listed):
            variables[f"{kind}{number:04X}"] = load_option(entry, port, partition)
        variables[f"{kind}Order"] = struct.pack(f"<{len(listed)}H", *range(len(listed)))
    return variables


def write(template: Path, target: Path, variables: dict[str, bytes]) -> None:
    target.write_bytes(add_variables(template.read_bytes(), variables))
