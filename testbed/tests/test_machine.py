# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Command line in, QEMU arguments out. QEMU itself is asked whether it takes them."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from testbed import cli
from testbed.machine import OVMF_VARS, Disk, Machine, MachineError
from testbed.monitor import Monitor


class ArgumentTest(unittest.TestCase):
    def test_sizes(self) -> None:
        self.assertEqual(cli.parse_size("512M"), 512 << 20)
        self.assertEqual(cli.parse_size("4096"), 4096)
        for wrong in ("", "1T", "-1M", "1.5G", "M"):
            with self.assertRaises(argparse.ArgumentTypeError):
                cli.parse_size(wrong)

    def test_disks(self) -> None:
        wish = cli.parse_disk("64M:sector=4096:bus=nvme")
        self.assertEqual((wish.size, wish.sector, wish.bus), (64 << 20, 4096, "nvme"))
        self.assertEqual(cli.parse_disk("64M:bus=ide").bus, "ide")
        for wrong in ("64M:sector=1024", "64M:bus=scsi", "64M:base=/nonexistent", "64M:colour=red"):
            with self.assertRaises(argparse.ArgumentTypeError):
                cli.parse_disk(wrong)

    def test_settings(self) -> None:
        self.assertEqual(cli.parse_setting("A=b=c"), ("A", "b=c"))
        for wrong in ("A", "1A=b", "A b=c", "A;ls=c"):
            with self.assertRaises(argparse.ArgumentTypeError):
                cli.parse_setting(wrong)

    def test_errors_are_told_not_thrown(self) -> None:
        for extra in (["--workload", "no-such"], ["--sensor", "/nonexistent/undercroft.efi", "--config", "/dev/null"],
                      ["--sensor", "/nonexistent/undercroft.efi"]):
            said = io.StringIO()
            with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(said):
                self.assertEqual(cli.main(["run", "--out", out, "--accel", "tcg", *extra]), 2)
            self.assertIn("lab: error:", said.getvalue())


class MachineTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def machine(self, **more: object) -> Machine:
        esp = self.folder / "esp.img"
        with open(esp, "wb") as handle:
            handle.truncate(1 << 20)
        variables = self.folder / "vars.fd"
        variables.write_bytes(OVMF_VARS.read_bytes())
        return Machine(folder=self.folder, esp=esp, vars=variables, socket_folder=self.folder, memory="128M",
                       **more)  # type: ignore[arg-type]

    def disk(self, name: str, **more: object) -> Disk:
        image = self.folder / f"{name}.raw"
        with open(image, "wb") as handle:
            handle.truncate(1 << 20)
        return Disk(image, name, **more)  # type: ignore[arg-type]

    def test_qemu_takes_the_arguments_and_shows_the_disks(self) -> None:
        log = self.folder / "writes"
        log.write_bytes(b"")
        machine = self.machine(cpus=2, sensor_nic=True, guest_nic=True,
                               disks=[self.disk("test0", log=log), self.disk("test1", sector=4096, bus="nvme"),
                                      self.disk("test2", sector=4096)])
        process = subprocess.Popen([*machine.arguments(), "-S"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        try:
            monitor = Monitor(machine.control_socket)
            tree = monitor.human("info qtree")
            nodes = {entry["node-name"]: entry["drv"] for entry in monitor.command("query-named-block-nodes")}
            monitor.command("quit")
            monitor.close()
            process.wait(10)
        finally:
            process.kill()
            process.wait()
            assert process.stderr
            process.stderr.close()
        self.assertEqual(nodes["logged-test0"], "blklogwrites")
        self.assertRegex(tree, r'dev: ide-hd[^d]*(?:.*\n)*?.*serial = "test0"')
        self.assertIn('serial = "test1"', tree)
        self.assertIn("dev: e1000e", tree)

    def test_writes_are_logged_beneath_the_device(self) -> None:
        arguments = self.disk("test0", log=self.folder / "log").arguments(1)
        blockdevs = [json.loads(arguments[index + 1]) for index, text in enumerate(arguments) if text == "-blockdev"]
        self.assertEqual([entry["driver"] for entry in blockdevs], ["raw", "blklogwrites"])
        self.assertEqual(blockdevs[1]["file"], blockdevs[0]["node-name"])
        self.assertIn(f"drive={blockdevs[1]['node-name']}", arguments[-1])

    def test_time_by_instructions_and_a_waiting_card(self) -> None:
        arguments = self.machine(accelerator="icount", peer=Path("/p.so")).arguments()
        self.assertEqual(arguments[:3], ["env", "LD_PRELOAD=/p.so", "qemu-system-x86_64"])
        self.assertEqual(arguments[arguments.index("-accel") + 1], "tcg,thread=single")
        self.assertIn("-icount", arguments)

    def test_too_many_disks(self) -> None:
        with self.assertRaises(MachineError):
            self.machine(disks=[self.disk(f"test{number}") for number in range(6)]).arguments()


class PatienceTest(unittest.TestCase):
    def test_monitor_waits_for_a_slow_start_only_so_long(self) -> None:
        begin = time.monotonic()
        with self.assertRaises(Exception):
            Monitor(Path("/nonexistent"), patience=0.2)
        self.assertLess(time.monotonic() - begin, 2)


if __name__ == "__main__":
    unittest.main()
