# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Reads as QEMU's block layer saw them, from its trace log: an account of a disk that the sensor has no part in.

A DMA request of a device is announced by `dma_blk_io`, carried out by one or more `blk_co_preadv` (one each time
`dma_blk_cb` runs for it) and counts as one read here; PIO is announced by `ide_sector_read`. Reads without an
announcement are QEMU's own (geometry probing) and are left out. Which backend pointer belongs to which AHCI port is
learned from NCQ commands, whose trace line names the port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

EVENTS = ["blk_co_preadv", "dma_blk_io", "dma_blk_cb", "execute_ncq_command_read", "ide_sector_read"]
NCQ_READ = re.compile(r"execute_ncq_command_read ahci\(0x[0-9a-f]+\)\[(\d+)\]\[tag:\d+\]: NCQ reading")
DMA_START = re.compile(r"dma_blk_io dbs=(\S+) bs=(\S+) offset=(\d+) to_dev=([01])")
DMA_STEP = re.compile(r"dma_blk_cb dbs=(\S+) ret=")
BLOCK_READ = re.compile(r"blk_co_preadv blk (\S+) bs \S+ offset (\d+) bytes (\d+) flags")


@dataclass
class Read:
    backend: str
    offset: int
    length: int


@dataclass
class Trace:
    """All reads by devices in order of issue, and the AHCI port of each backend for which one is known."""

    reads: list[Read] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def of_port(self, port: int) -> list[Read]:
        return [entry for entry in self.reads if self.ports.get(entry.backend) == port]


class Parser:
    """Follows the log line by line; `finish()` gives the result."""

    def __init__(self) -> None:
        self._trace = Trace()
        self._requests: dict[str, Read] = {}
        self._current: Read | None = None
        self._ncq_port: int | None = None
        self._pio = False

    def line(self, text: str) -> None:
        if match := BLOCK_READ.match(text):
            self._block_read(match.group(1), int(match.group(2)), int(match.group(3)))
        elif match := DMA_STEP.match(text):
            self._current = self._requests.get(match.group(1))
        elif match := NCQ_READ.match(text):
            self._ncq_port = int(match.group(1))
        elif match := DMA_START.match(text):
            self._dma_start(*match.groups())
        elif text.startswith("ide_sector_read "):
            self._pio = True

    def finish(self) -> Trace:
        self._trace.reads = [entry for entry in self._trace.reads if entry.length]
        return self._trace

    def _dma_start(self, request: str, backend: str, offset: str, to_device: str) -> None:
        self._requests.pop(request, None)
        self._current = None
        if to_device == "1":  # a write: data goes to the device
            return
        if self._ncq_port is not None:
            self._trace.ports[backend] = self._ncq_port
            self._ncq_port = None
        self._current = self._requests[request] = Read(backend, int(offset), 0)
        self._trace.reads.append(self._current)

    def _block_read(self, backend: str, offset: int, length: int) -> None:
        current = self._current
        if self._pio:
            self._pio = False
            self._trace.reads.append(Read(backend, offset, length))
        elif current and current.backend == backend and offset == current.offset + current.length:
            current.length += length


def parse(lines: Iterable[str]) -> Trace:
    parser = Parser()
    for text in lines:
        # The last line may have been cut short by the end of the process.
        if text.endswith("\n"):
            parser.line(text)
    return parser.finish()


def read(path: Path) -> Trace:
    with open(path, encoding="ascii", errors="replace") as handle:
        return parse(handle)
