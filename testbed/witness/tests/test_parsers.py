# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Parsers on bytes and lines made by hand from the formats' descriptions."""
from __future__ import annotations

import hashlib
import struct
import tempfile
import unittest
from pathlib import Path

from testbed.witness.access import FLUSH, READ, TRIM, WRITE, Access
from testbed.witness.blklogwrites import Flag, Log, LogError
from testbed.witness.compare_writes import accesses_of_log
from testbed.witness.qemu_trace import TraceError, decode_fis, read_trace


def super_block(entries: int, sector: int, magic: int = 0x6A736677736872, version: int = 1) -> bytes:
    return struct.pack("<QQQI", magic, version, entries, sector).ljust(sector, b"\0")


def entry(sector: int, sectors: int, flags: int, size: int, data: bytes = b"", data_len: int = 0) -> bytes:
    return struct.pack("<QQQQ", sector, sectors, flags, data_len).ljust(size, b"\0") + data


class BlkLogWrites(unittest.TestCase):
    def log(self, content: bytes) -> Log:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "log"
        path.write_bytes(content)
        return Log(path)

    def test_entries_of_every_kind(self) -> None:
        data = bytes(range(256)) * 18  # 4,608 bytes: one whole block and 512 bytes of a second
        log = self.log(super_block(4, 512) + entry(7, 9, 0, 512, data) + entry(0, 0, 1, 512) + entry(100, 2000, 4, 512)
                       + entry(1, 1, 2, 512, b"x" * 512))
        found = list(log)
        self.assertEqual([(e.lba, e.bytes, e.flags) for e in found],
                         [(7, 4608, Flag(0)), (0, 0, Flag.FLUSH), (100, 1024000, Flag.DISCARD), (1, 512, Flag.FUA)])
        self.assertEqual(found[0].block_hashes(), (hashlib.sha256(data[:4096]).digest(), hashlib.sha256(data[4096:]).digest()))
        self.assertEqual(log.unflushed_bytes(), 0)
        self.assertEqual([a.kind for a in accesses_of_log(log)], [WRITE, FLUSH, TRIM, WRITE])

    def test_sector_size_4096(self) -> None:
        log = self.log(super_block(2, 4096) + entry(3, 2, 0, 4096, b"a" * 8192) + entry(1, 1, 4, 4096))
        self.assertEqual([(e.lba, e.bytes) for e in log], [(24, 8192), (8, 4096)])

    def test_marks_carry_data_of_their_own_length(self) -> None:
        log = self.log(super_block(2, 512) + entry(0, 0, 8, 512, b"mark".ljust(512, b"\0"), 4) + entry(5, 1, 0, 512, b"y" * 512))
        self.assertEqual(accesses_of_log(log, with_content=False), [Access(WRITE, 5, 512)])

    def test_writes_after_the_last_flush_are_noticed(self) -> None:
        log = self.log(super_block(1, 512) + entry(0, 0, 1, 512) + entry(5, 1, 0, 512, b"y" * 512))
        self.assertEqual(len(list(log)), 1)
        self.assertEqual(log.unflushed_bytes(), 1024)

    def test_broken_logs_are_refused(self) -> None:
        for content in (b"", super_block(0, 512, magic=1), super_block(0, 512, version=2), super_block(0, 24)[:24] + bytes(8),
                        super_block(0, 1000)):
            with self.subTest(content=content[:32]), self.assertRaises(LogError):
                self.log(content)
        for content in (super_block(1, 512), super_block(1, 512) + entry(0, 9, 0, 512, b"short"),
                        super_block(1, 512) + entry(0, 0, 64, 512)):
            with self.subTest(content=content[512:544]), self.assertRaises(LogError):
                list(self.log(content))


class Fis(unittest.TestCase):
    """Register H2D FIS: 27 80 cmd feat | lba0-2 dev | lba3-5 feat-hi | count-lo count-hi icc ctl."""

    def test_commands(self) -> None:
        cases = {
            "27 80 61 08 78 56 34 40 12 00 00 00 f8 00 00 00": Access(WRITE, 0x12345678, 8 * 512),  # NCQ, tag in count
            "27 80 60 00 01 00 00 40 00 00 00 00 00 00 00 00": Access(READ, 1, 65536 * 512),  # NCQ, 0 is 65,536
            "27 80 60 00 01 00 00 40 00 00 00 01 00 00 00 00": Access(READ, 1, 256 * 512),  # NCQ, high byte of the count
            "27 80 25 00 00 00 00 e0 00 00 01 00 00 01 00 00": Access(READ, 1 << 40, 256 * 512),  # READ DMA EXT
            "27 80 3d 00 02 00 00 40 00 00 00 00 01 00 00 00": Access(WRITE, 2, 512),  # WRITE DMA FUA EXT
            "27 80 c8 00 ff ff ff ef 00 00 00 00 00 00 00 00": Access(READ, 0x0FFFFFFF, 256 * 512),  # READ DMA, 28 bit, 0 is 256
            "27 80 ca 00 01 02 03 e4 99 99 99 00 02 77 00 00": Access(WRITE, 0x04030201, 1024),  # no 48-bit fields
            "27 80 ea 00 00 00 00 e0 00 00 00 00 00 00 00 00": Access(FLUSH, 0, 0),
            "27 80 06 01 00 00 00 e0 00 00 00 00 01 00 00 00": Access(TRIM, 0, 0),
            "27 80 06 00 00 00 00 e0 00 00 00 00 01 00 00 00": None,  # DATA SET MANAGEMENT without trim
            "27 80 ec 00 00 00 00 e0 00 00 00 00 01 00 00 00": None,  # IDENTIFY
        }
        for text, expected in cases.items():
            with self.subTest(fis=text):
                self.assertEqual(decode_fis(bytes.fromhex(text)), expected)

    def test_sector_size(self) -> None:
        fis = bytes.fromhex("27 80 61 02 03 00 00 40 00 00 00 00 00 00 00 00")
        self.assertEqual(decode_fis(fis, 4096), Access(WRITE, 24, 8192))


def dump(first: str) -> str:
    rows = [bytes.fromhex(first).ljust(16, b"\0")] + [bytes(16)] * 7
    return "".join(f"0x{at * 16:02x}: {row.hex(' ')} \n" for at, row in enumerate(rows))


TRACE = (
    '1@1.0:bdrv_open_common bs 0xa1 filename "/d/disk.raw" flags 0xa002 format_name "file"\n'
    '1@1.0:bdrv_open_common bs 0xa2 filename "/d/disk.raw" flags 0x2002 format_name "blklogwrites"\n'
    '1@1.0:bdrv_open_common bs 0xb1 filename "/d/esp.img" flags 0x2002 format_name "raw"\n'
    "1@1.0:blk_co_preadv blk 0xc bs 0xa2 offset 0 bytes 512 flags 0x0\n"
    "1@1.1:vm_state_notify running 1 reason 9 (running)\n"
    "1@1.2:handle_cmd_fis_dump ahci(0xff)[1]: FIS:\n" + dump("27 80 c8 00 00 00 00 e0 00 00 00 00 01") + "\n"
    "1@1.2:blk_co_preadv blk 0xc bs 0xa2 offset 0 bytes 512 flags 0x0\n"
    "undercroft-probe: first vmrun on cpu 0\n"
    "1@1.3:handle_cmd_fis_dump ahci(0xff)[1]: FIS:\n" + dump("27 80 60 08 08 00 00 40") + "\n"
    "1@1.3:blk_co_preadv blk 0xc bs 0xa2 offset 4096 bytes 4096 flags 0x0\n"
    "1@1.4:handle_cmd_fis_dump ahci(0xff)[0]: FIS:\n" + dump("27 80 61 01 02 00 00 40") + "\n"
    "1@1.4:blk_co_pwritev blk 0xd bs 0xb1 offset 1024 bytes 512 flags 0x0\n"
    "1@1.5:handle_cmd_fis_dump ahci(0xff)[1]: FIS:\n" + dump("27 00 00 00 00 00 00 00 00 00 00 00 00 00 00 04") + "\n"
    "1@1.6:handle_cmd_fis_dump ahci(0xff)[1]: FIS:\n" + dump("27 80 e7") + "\n"
)


class QemuTrace(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "trace"
        path.write_text(TRACE, encoding="utf-8")
        self.trace = read_trace(path)

    def test_block_requests_of_the_test_disk_only(self) -> None:
        disk = Path("/d/disk.raw")
        self.assertEqual(self.trace.block_requests(disk, READ, False), [Access(READ, 0, 512), Access(READ, 8, 4096)])
        self.assertEqual(self.trace.block_requests(disk, READ, True), [Access(READ, 8, 4096)])
        self.assertEqual(self.trace.block_requests(disk, WRITE, False), [])
        with self.assertRaises(TraceError):
            self.trace.block_requests(Path("/d/other"), READ, False)

    def test_commands_by_port(self) -> None:
        self.assertEqual([(c.opcode, c.access, c.seen_by_sensor) for c in self.trace.of_port(1)],
                         [(0xC8, Access(READ, 0, 512), False), (0x60, Access(READ, 8, 4096), True), (0xE7, Access(FLUSH, 0, 0), True)])
        self.assertEqual([c.access for c in self.trace.of_port(0)], [Access(WRITE, 2, 512)])


if __name__ == "__main__":
    unittest.main()
