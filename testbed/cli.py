# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Command line of testbed/lab."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from . import accel, guest, kernel, machine, nvram
from .request import DiskWish, Request, Sensor
from .session import Session, say

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512M or 2G")
    return int(match.group(1)) * UNITS[match.group(2)]


def parse_disk(text: str) -> DiskWish:
    size, *options = text.split(":")
    wish = DiskWish(parse_size(size))
    for option in options:
        name, _, value = option.partition("=")
        if name == "sector" and value in ("512", "4096"):
            wish.sector = int(value)
        elif name == "bus" and value in ("ahci", "nvme"):
            wish.bus = value
        elif name == "base" and Path(value).is_file():
            wish.base = Path(value)
        else:
            raise argparse.ArgumentTypeError(f"{option!r}: allowed are sector=512|4096, bus=ahci|nvme, base=FILE")
    return wish


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="testbed/lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="boot one emulated machine, run a workload in it, leave a report.json")
    run.add_argument("--machine", choices=["q35"], default="q35")
    run.add_argument("--cpus", type=int, default=1)
    run.add_argument("--memory", default="2G")
    run.add_argument("--sensor", type=Path, help="undercroft.efi; without it the machine boots bare")
    run.add_argument("--core", type=Path, help="core.elf, next to the sensor by default")
    run.add_argument("--config", type=Path, help="undercroft.conf for the sensor")
    run.add_argument("--sensor-as", choices=["boot", "driver"], default="boot",
                     help="how the firmware starts it: first in BootOrder, or in DriverOrder before any boot entry")
    run.add_argument("--workload", default="boot", help="name in testbed/workloads, or a .sh file")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="variable for the workload")
    run.add_argument("--disk", action="append", default=[], type=parse_disk, metavar="SIZE[:sector=4096][:bus=nvme]",
                     help="test disk; the first has serial number test0")
    run.add_argument("--blklog", action="store_true", help="log all writes of the test disks with QEMU's blklogwrites")
    run.add_argument("--trace", action="store_true", help="trace all reads in QEMU's block layer (see testbed/trace.py)")
    run.add_argument("--accel", choices=["auto", "tcg", "kvm"], default="auto",
                     help="auto takes KVM only if a guest with the svm flag really boots under it")
    run.add_argument("--cpu-model", default="", help="QEMU's -cpu; EPYC with SVM and nested paging by default")
    run.add_argument("--netdev", default="user", help="back end of the sensor's NIC, as QEMU's -netdev without id")
    run.add_argument("--nic-rom", action="store_true", help="give the NIC its firmware driver, as real cards have")
    run.add_argument("--guest-nic", action="store_true", help="give the guest a network card of its own")
    run.add_argument("--kernel-options", default="", help="added to the kernel's command line")
    run.add_argument("--payload", help="boot this EFI program instead of Linux; memtest means Debian's memtest86+")
    run.add_argument("--payload-options", default="", help="its load options")
    run.add_argument("--payload-seconds", type=float, default=30.0, help="how long it must run without failing")
    run.add_argument("--timeout", type=float, default=300.0, help="seconds until the machine is ended")
    run.add_argument("--out", type=Path, required=True, help="folder for logs, images and report.json")
    commands.add_parser("prepare", help="fetch the kernel and build the guest images into the cache")
    return parser


def request_from(arguments: argparse.Namespace) -> Request:
    sensor = None
    if arguments.sensor:
        core = arguments.core or arguments.sensor.with_name("core.elf")
        if not arguments.config:
            raise FileNotFoundError("--sensor needs --config FILE")
        for path in (arguments.sensor, core, arguments.config):
            if not path.is_file():
                raise FileNotFoundError(f"{path} does not exist")
        sensor = Sensor(arguments.sensor, core, arguments.config)
    settings = dict(item.partition("=")[::2] for item in arguments.set)
    return Request(out=arguments.out, workload=arguments.workload, cpus=arguments.cpus, memory=arguments.memory,
                   accelerator=accel.choose(arguments.accel).accelerator, cpu_model=arguments.cpu_model,
                   sensor=sensor, sensor_as=arguments.sensor_as, disks=arguments.disk, log_writes=arguments.blklog,
                   trace_reads=arguments.trace, nic_netdev=arguments.netdev, nic_rom=arguments.nic_rom,
                   guest_nic=arguments.guest_nic, timeout=arguments.timeout,
                   kernel_options=arguments.kernel_options, settings=settings)


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        if arguments.command == "prepare":
            linux, boot, tools, seconds = guest.prepare()
            say(f"{linux.package} {linux.version}; {boot}; {tools}; {seconds:.1f} s")
            return 0
        one = Session(request_from(arguments))
        one.prepare()
        outcome = one.run()
        say(f"{outcome.state} after {outcome.seconds:.1f} s; report: {one.folder / 'report.json'}")
        return 0 if outcome.state == "finished" else 1
    except (FileNotFoundError, guest.GuestError, kernel.KernelError, machine.MachineError, nvram.NvramError) as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 2
