# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Bochs's configuration, images and endings, without running it."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

from testbed import bochs, boot_disk, grub, linux_image
from testbed.bochs_session import BochsSession
from testbed.linux_image import Linux, Segment
from testbed.request import Request


class BochsTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def image(self, size: int) -> Path:
        path = self.folder / "image"
        with open(path, "wb") as handle:
            handle.truncate(size)
        return path

    def test_disk_sizes_are_geometries(self) -> None:
        self.assertIn("cylinders=64, heads=16, spt=32", bochs.Drive(self.image(16 << 20), "m").options())
        for wrong in (0, (16 << 20) + 512):
            with self.assertRaises(bochs.BochsError):
                bochs.Drive(self.image(wrong), "m").options()

    def test_two_cpus_need_the_bios(self) -> None:
        bochs.Machine(self.folder, "bios", cpus=2).config()
        with self.assertRaises(bochs.BochsError):
            bochs.Machine(self.folder, "uefi", cpus=2).config()

    def test_libraries_outside_the_machine(self) -> None:
        self.assertNotIn("UNDERCROFT_COUNTS", bochs.Machine(self.folder).environment())
        counted = bochs.Machine(self.folder, instrument=Path("/c.so"), peer=Path("/p.so"), dumps=True, memory_mib=64).environment()
        self.assertEqual(counted["LD_PRELOAD"], "/c.so:/p.so")
        self.assertEqual((counted["UNDERCROFT_DUMPS"], counted["UNDERCROFT_MEMORY"]), (str(self.folder), str(64 << 20)))
        self.assertEqual(bochs.Machine(self.folder, peer=Path("/p.so")).environment()["LD_PRELOAD"], "/p.so")

    def test_endings(self) -> None:
        self.assertEqual(bochs.ending("", "00000012345i[SIM   ] Shutdown port: shutdown requested\n"), ("guest-shutdown", 12345))
        self.assertEqual(bochs.ending("(0).[77] [0x00] hlt", ""), ("", 77))
        self.assertEqual(bochs.ending("Bochs is exiting with the following message:\n[CPU0 ] 3rd exception\n", "")[0],
                         "panic: [CPU0 ] 3rd exception")
        self.assertEqual(bochs.ending("(0) Caught time breakpoint\n", "")[0], "instruction-limit")

    def test_what_only_qemu_has_is_refused(self) -> None:
        with self.assertRaises(bochs.BochsError):
            BochsSession(Request(self.folder, emulator="bochs", memory="512M", log_writes=True)).prepare()

    def test_elf_round_trip(self) -> None:
        segments = [Segment(0x1000000, b"code", 0x2000), Segment(0x1200000, b"data" * 2000, 9000)]
        data = linux_image.elf_file(segments, 0x1000000)
        self.assertEqual(linux_image._segments(data), segments)
        path = self.folder / "elf"
        path.write_bytes(data)
        shown = subprocess.run(["readelf", "-lW", str(path)], capture_output=True, text=True, check=True)
        self.assertNotIn("arning", shown.stderr + shown.stdout)

    def test_boot_disk(self) -> None:
        linux = Linux([Segment(0x1000000, b"k" * 700, 0x3000), Segment(0x1003000, b"d", 0x1000)], bytes(0x7B), 0x1000000)
        image = self.folder / "disk.img"
        boot_disk.write_system(image, linux_image.disk_loader(self.folder), linux, 4 << 20)
        boot_disk.finish(image, "quiet", b"initrd")
        data = image.read_bytes()
        self.assertEqual(data[510:512], b"\x55\xaa")
        table = [struct.unpack_from("<4I", data, 8 * 512 + 16 * number) for number in range(6)]
        self.assertEqual(table[:2], [(2048, 2, 0x1000000, 0x1003000), (2050, 1, 0x1003000, 0x1004000)])
        contents = {address: data[at * 512:(at + count) * 512] for at, count, address, _ in table[:5]}
        self.assertEqual(contents[0x21000].rstrip(b"\0"), b"quiet")
        (initrd, size) = struct.unpack_from("<2I", contents[0x20000], 0x218)
        self.assertEqual((contents[initrd].rstrip(b"\0"), size), (b"initrd", 6))
        self.assertEqual(table[5], (0, 0, 0, 0))
        self.assertEqual(struct.unpack_from("<I", data, 8 * 512 + 508)[0], 0x1000000)

    def test_grub_disk_boots_from_its_first_sectors(self) -> None:
        image = self.folder / "disk.img"
        file = self.folder / "file"
        file.write_text("hello")
        grub.make_disk(image, 40, "boot\n", {"file": file})
        with open(image, "rb") as handle:
            first, second = handle.read(512), handle.read(512)
        self.assertEqual(first[510:], b"\x55\xaa")
        self.assertEqual(first[446], 0x80)  # active partition
        self.assertEqual(struct.unpack_from("<Q", first, 0x5C)[0], 1)  # boot.img: the core's first sector
        self.assertEqual(struct.unpack_from("<Q", second, 500)[0], 2)
        self.assertEqual(subprocess.run(["mtype", "-i", f"{image}@@1048576", "::file"], capture_output=True, text=True,
                                        check=True).stdout, "hello")

    def test_sensor_cd(self) -> None:
        file = self.folder / "core"
        file.write_bytes(b"x" * 3000)
        grub.make_cd(self.folder / "cd.iso", self.folder, "boot\n", {"undercroft/core.elf": file})
        listed = subprocess.run(["xorriso", "-indev", str(self.folder / "cd.iso"), "-find", "/", "-type", "f"],
                                capture_output=True, text=True, check=True).stdout
        self.assertIn("/undercroft/core.elf", listed)


if __name__ == "__main__":
    unittest.main()
