# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reader of QEMU's trace log (the `log` backend) for AHCI and IDE disks: what reached the HBA (command
FISes, per port, in order of issue) or the IDE channels (register writes), and what the HBA asked of the block layer (reads and writes, per image).

Events used (QEMU 7.2, hw/ide/trace-events, block/trace-events, trace-events):
  handle_cmd_fis_dump   one per command that the HBA took from a command list: port and the FIS' bytes
  ide_ioport_write      one per write to an IDE channel's command block: port address and value
  blk_co_preadv/pwritev one per request of a device to the block layer: offset and bytes
  bdrv_open_common      which block node belongs to which image file
  vm_state_notify       reads before `running 1` are QEMU's own (it guesses the disk's geometry)
A probe plugin (probe_plugin.c) writes MARK lines into the same log; the first VMRUN is
such a mark and says from when on a sensor could see commands.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .access import FLUSH, READ, TRIM, WRITE, Access

IDE_EVENTS = ("ide_ioport_write",)
EVENTS = ("handle_cmd_fis_dump", "blk_co_preadv", "blk_co_pwritev", "bdrv_open_common", "vm_state_notify")
FIRST_VMRUN = "undercroft-probe: first vmrun"

_FIS = re.compile(r"handle_cmd_fis_dump ahci\((0x[0-9a-f]+)\)\[(\d+)\]")
_STAMP = re.compile(r"@(\d+\.\d+):")
_REGISTER = re.compile(r"ide_ioport_write IDE PIO wr @ 0x([0-9a-f]+) \([^)]*\); val 0x([0-9a-f]+)")
_DUMP = re.compile(r"0x([0-9a-f]{2}): ((?:[0-9a-f]{2} ?)+)")
_BLOCK = re.compile(r"blk_co_p(read|write)v blk 0x[0-9a-f]+ bs (0x[0-9a-f]+) offset (\d+) bytes (\d+)")
_OPEN = re.compile(r'bdrv_open_common bs (0x[0-9a-f]+) filename "([^"]*)" flags 0x[0-9a-f]+ format_name "([^"]*)"')

REGISTER_H2D = 0x27
# IDE drives have the numbers that the sensor gives them when the IDE controller is its second: 0x100 | channel * 2 + drive.
IDE_PORTS = 0x100
IDE_CHANNELS = {0x1F0: 0, 0x170: 2}
COMMAND, DEVICE = 7, 6
QUEUED = {0x60: READ, 0x61: WRITE}
LBA48 = {0x24: READ, 0x25: READ, 0x29: READ, 0x2A: READ, 0x34: WRITE, 0x35: WRITE, 0x39: WRITE, 0x3A: WRITE, 0x3D: WRITE, 0xCE: WRITE}
LBA28 = {0x20: READ, 0x21: READ, 0xC4: READ, 0xC8: READ, 0x30: WRITE, 0x31: WRITE, 0xC5: WRITE, 0xCA: WRITE}
FLUSHES = {0xE7, 0xEA}
PIO_WRITES = {0x30, 0x34, 0x39, 0xC5, 0xCE}
DATA_SET_MANAGEMENT, TRIM_FEATURE = 0x06, 0x01


class TraceError(Exception):
    """The trace does not have what is needed; the text says what."""


class IdeChannel:
    """The registers of a command block as ATA/ATAPI-6 (7.1) has them: each keeps its last value and the one before."""

    def __init__(self, first_port: int) -> None:
        self._first_port = first_port
        self._now = [0] * 8
        self._before = [0] * 8

    def write(self, register: int, value: int, sector_bytes: dict[int, int], seen: bool) -> HbaCommand | None:
        self._before[register], self._now[register] = self._now[register], value
        if register != COMMAND:
            return None
        now, before = self._now, self._before
        port = self._first_port | now[DEVICE] >> 4 & 1
        fis = bytes([REGISTER_H2D, 0x80, value, now[1], now[3], now[4], now[5], now[6], before[3], before[4], before[5],
                     before[1], now[2], before[2]])
        return HbaCommand(port, value, decode_fis(fis, sector_bytes.get(port, 512)), seen)


def same_port(source: int, port: int) -> bool:
    """Whether a record's source is this port of the first controller, or this drive of the IDE controller."""
    return source == port if port >= IDE_PORTS else source < IDE_PORTS and source & 0xFF == port


@dataclass(frozen=True, slots=True)
class HbaCommand:
    """A command FIS. `access` is None for commands that move no user data (IDENTIFY, SET FEATURES ...). For a
    trim its lba and bytes are 0: the ranges are in the command's data, not in the FIS."""

    port: int
    opcode: int
    access: Access | None
    seen_by_sensor: bool
    host_s: float = 0.0  # UTC by the host's clock when the HBA took it


@dataclass(slots=True)
class Trace:
    commands: list[HbaCommand] = field(default_factory=list)
    images: dict[str, list[str]] = field(default_factory=dict)  # file name -> block nodes (addresses)
    requests: list[tuple[str, Access, bool]] = field(default_factory=list)  # node, access, after the first VMRUN
    first_vmrun_seen: bool = False

    def of_port(self, port: int) -> list[HbaCommand]:
        return [command for command in self.commands if command.port == port]

    def block_requests(self, image: Path, kind: str, after_first_vmrun: bool) -> list[Access]:
        """The guest's requests to the block layer for this image, in order of issue."""
        nodes = set(self.images.get(str(image), []))
        if not nodes:
            raise TraceError(f"no block node was opened for {image}; opened were {sorted(self.images)}")
        return [access for node, access, late in self.requests
                if node in nodes and access.kind == kind and (late or not after_first_vmrun)]


def decode_fis(fis: bytes, sector_bytes: int = 512) -> Access | None:
    """The access that a register H2D FIS with the C bit asks for (ATA8-ACS; SATA 3.x for NCQ)."""
    opcode = fis[2]
    lba28 = fis[4] | fis[5] << 8 | fis[6] << 16 | (fis[7] & 0x0F) << 24
    lba48 = fis[4] | fis[5] << 8 | fis[6] << 16 | fis[8] << 24 | fis[9] << 32 | fis[10] << 40
    if opcode in QUEUED:
        kind, lba, count = QUEUED[opcode], lba48, (fis[3] | fis[11] << 8) or 65536
    elif opcode in LBA48:
        kind, lba, count = LBA48[opcode], lba48, (fis[12] | fis[13] << 8) or 65536
    elif opcode in LBA28:
        kind, lba, count = LBA28[opcode], lba28, fis[12] or 256
    elif opcode in FLUSHES:
        return Access(FLUSH, 0, 0)
    elif opcode == DATA_SET_MANAGEMENT and fis[3] & TRIM_FEATURE:
        return Access(TRIM, 0, 0)
    else:
        return None
    return Access(kind, lba * (sector_bytes // 512), count * sector_bytes)


def read_trace(path: Path, sector_bytes: dict[int, int] | None = None) -> Trace:
    """Parses the log. `sector_bytes` gives the logical sector size of ports where it is not 512. With several
    AHCI controllers in the machine only the first that got a command is looked at."""
    trace = Trace()
    controller = ""
    running = False
    channels = {base: IdeChannel(IDE_PORTS | number) for base, number in IDE_CHANNELS.items()}
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = iter(file)
        for line in lines:
            if "handle_cmd_fis_dump" in line:
                match = _FIS.search(line)
                stamp = _STAMP.search(line)
                fis = _dumped_fis(lines)
                if not match or len(fis) < 20 or (controller and match[1] != controller):
                    continue
                controller = match[1]
                port = int(match[2])
                if fis[0] != REGISTER_H2D or not fis[1] & 0x80:
                    continue
                access = decode_fis(fis, (sector_bytes or {}).get(port, 512))
                trace.commands.append(HbaCommand(port, fis[2], access, trace.first_vmrun_seen, float(stamp[1]) if stamp else 0.0))
            elif "ide_ioport_write" in line:
                match = _REGISTER.search(line)
                channel = channels.get(int(match[1], 16) & ~7) if match else None
                if match and channel:
                    command = channel.write(int(match[1], 16) & 7, int(match[2], 16), sector_bytes or {}, trace.first_vmrun_seen)
                    trace.commands += [command] if command else []
            elif "blk_co_p" in line:
                match = _BLOCK.search(line)
                if match and running:
                    access = Access(READ if match[1] == "read" else WRITE, int(match[3]) // 512, int(match[4]))
                    trace.requests.append((match[2], access, trace.first_vmrun_seen))
            elif FIRST_VMRUN in line:
                trace.first_vmrun_seen = True
            elif "bdrv_open_common" in line:
                match = _OPEN.search(line)
                if match:
                    trace.images.setdefault(match[2], []).append(match[1])
            elif "vm_state_notify" in line:
                running = "running 1" in line
    return trace


def _dumped_fis(lines: Iterator[str]) -> bytes:
    """The 128 bytes that follow the event's line, 16 to a line."""
    found = bytearray()
    while len(found) < 128:
        match = _DUMP.search(next(lines, ""))
        if not match or int(match[1], 16) != len(found):
            break
        found += bytes.fromhex(match[2])
    return bytes(found)
