# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What a machine boots from: archives, partitions and boot variables, checked with other programs than ours."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import unittest
import uuid
from pathlib import Path

from testbed import cpio, esp, guest, kernel, nvram
from testbed.machine import OVMF_VARS


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self._temporary.cleanup)
        self.folder = Path(self._temporary.name)


class CpioTest(Folder):
    def test_cpio_unpacks_what_was_packed(self) -> None:
        archive = cpio.Archive()
        archive.file("etc/deep/name", b"content\n", 0o640)
        archive.symlink("lib64", "tools/lib64")
        (self.folder / "a.cpio").write_bytes(archive.data())
        with open(self.folder / "a.cpio", "rb") as source:
            subprocess.run(["cpio", "-id", "--quiet"], cwd=self.folder, stdin=source, check=True)
        file = self.folder / "etc/deep/name"
        self.assertEqual(file.read_bytes(), b"content\n")
        self.assertEqual(file.stat().st_mode & 0o777, 0o640)
        self.assertEqual((self.folder / "lib64").readlink(), Path("tools/lib64"))

    def test_device_nodes_are_listed(self) -> None:
        archive = cpio.Archive()
        archive.character_device("dev/console", 5, 1)
        listing = subprocess.run(["cpio", "-itv", "--quiet"], input=archive.data(), capture_output=True, check=True)
        self.assertRegex(listing.stdout.decode(), r"crw-------\s+1 root\s+root\s+5,\s+1 .* dev/console")

    def test_archives_end_on_a_block_so_that_they_can_be_joined(self) -> None:
        archive = cpio.Archive()
        archive.file("a", b"1")
        self.assertEqual(len(archive.data()) % 512, 0)

    def test_settings_survive_quoting(self) -> None:
        workload = self.folder / "w.sh"
        workload.write_text('printf %s "$VALUE"\n')
        (self.folder / "r.cpio").write_bytes(guest.run_archive(workload, {"VALUE": "it's $HOME; `ls`"}))
        with open(self.folder / "r.cpio", "rb") as source:
            subprocess.run(["cpio", "-id", "--quiet"], cwd=self.folder, stdin=source, check=True)
        shown = subprocess.run(["sh", "-c", '. run.d/env; printf %s "$VALUE"'], cwd=self.folder, capture_output=True,
                               check=True).stdout.decode()
        self.assertEqual(shown, "it's $HOME; `ls`")


class EspTest(Folder):
    def test_partition_and_files(self) -> None:
        image = self.folder / "esp.img"
        esp.create(image, 64)
        source = self.folder / "program.efi"
        source.write_bytes(b"MZ" + bytes(100000))
        esp.put(image, {"EFI/undercroft/undercroft.efi": source})
        table = subprocess.run(["sfdisk", "-d", str(image)], capture_output=True, text=True, check=True).stdout
        self.assertIn("label: gpt", table)
        self.assertRegex(table, r"start=\s*2048, size=\s*126976, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
        back = self.folder / "back"
        subprocess.run(["mcopy", "-i", f"{image}@@1048576", "::EFI/UNDERCROFT/UNDERCROFT.EFI", str(back)], check=True)
        self.assertEqual(back.read_bytes(), source.read_bytes())

    def test_file_system_is_sound(self) -> None:
        if not shutil.which("fsck.fat"):
            self.skipTest("fsck.fat (dosfstools) is not there")
        image = self.folder / "esp.img"
        esp.create(image, 64)
        part = self.folder / "part"
        with open(image, "rb") as whole:
            whole.seek(1 << 20)
            part.write_bytes(whole.read(126976 * 512))
        checked = subprocess.run(["fsck.fat", "-n", str(part)], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout)


class NvramTest(Folder):
    partition = nvram.Partition(1, 2048, 126976, uuid.UUID("12345678-9abc-def0-1122-334455667788"))

    def test_load_option_bytes(self) -> None:
        """Against bytes written out by hand from the UEFI specification's tables (2.10, 3.1.3 and 10.3)."""
        option = nvram.load_option(nvram.BootEntry("Hi", "\\A", "x"), 1, self.partition)
        expected = bytes.fromhex(
            "01000000" "5400" "480069000000"                          # active; path of 12+6+10+42+10+4 bytes; "Hi"
            "02010c00" "d041030a" "00000000"                          # ACPI PNP0A03, uid 0
            "01010600" "02" "1f"                                      # PCI function 2, device 1f
            "03120a00" "0100" "ffff" "0000"                           # SATA port 1, no multiplier, LUN 0
            "04012a00" "01000000" "0008000000000000" "00f0010000000000"  # partition 1, first sector, sectors
            "78563412bc9af0de1122334455667788" "02" "02"              # GUID; GPT; signature is a GUID
            "04040a00" "5c0041000000"                                 # file \A
            "7fff0400" "78000000")                                    # end; options "x"
        self.assertEqual(option.hex(), expected.hex())

    def test_variables_go_behind_those_that_are_there(self) -> None:
        store = OVMF_VARS.read_bytes()
        once = nvram.add_variables(store, {"BootOrder": struct.pack("<H", 7)})
        twice = nvram.add_variables(once, {"Boot0007": b"\1\2\3"})
        self.assertEqual(len(twice), len(store))
        first, second = twice.find("BootOrder\0".encode("utf-16-le")), twice.find("Boot0007\0".encode("utf-16-le"))
        self.assertTrue(0 < first < second)
        self.assertEqual(second % 4, 0)
        self.assertEqual(twice[first + 20:first + 22], b"\7\0")

    def test_order_and_drivers(self) -> None:
        entries = [nvram.BootEntry("a", "\\a"), nvram.BootEntry("b", "\\b")]
        variables = nvram.boot_variables(entries, 0, self.partition, drivers=[nvram.BootEntry("d", "\\d")])
        self.assertEqual(set(variables), {"Boot0000", "Boot0001", "BootOrder", "Driver0000", "DriverOrder"})
        self.assertEqual(variables["BootOrder"], b"\0\0\1\0")
        self.assertEqual(variables["DriverOrder"], b"\0\0")

    def test_refuses_what_is_no_variable_store(self) -> None:
        with self.assertRaises(nvram.NvramError):
            nvram.add_variables(bytes(4096), {"BootOrder": b""})

    def test_refuses_more_than_fits(self) -> None:
        with self.assertRaises(nvram.NvramError):
            nvram.add_variables(OVMF_VARS.read_bytes(), {"Boot0000": bytes(1 << 20)})


class ModuleOrderTest(Folder):
    def module(self, name: str, depends: str) -> None:
        (self.folder / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0")

    def test_what_is_needed_comes_first_and_once(self) -> None:
        self.module("crc16", "")
        self.module("mbcache", "")
        self.module("jbd2", "crc16")
        self.module("ext4", "jbd2,mbcache,crc16")
        order = [path.stem for path in kernel.module_order(self.folder, ["ext4", "jbd2", "built-in"])]
        self.assertEqual(order, ["crc16", "jbd2", "mbcache", "ext4"])

    def test_dashes_and_underscores_are_the_same(self) -> None:
        self.module("virtio-net", "")
        self.assertEqual(len(kernel.module_order(self.folder, ["virtio_net"])), 1)


if __name__ == "__main__":
    unittest.main()
