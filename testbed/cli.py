# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Boots emulated machines with or without the sensor beneath Debian's stock kernel."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from pathlib import Path

from . import accel, bochs, debian, grub, guest, linux_image, machine, memtest, monitor, nvram
from .bochs_session import BochsSession
from .collector import Collector, CollectorError, Identity, sensor_config
from .request import DiskWish, Request, Sensor
from .run import Hooks
from .session import Session, say

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
DRAIN_SECONDS = 110.0  # less than the guest waits
EXPECTED_ERRORS = (FileNotFoundError, ValueError, guest.GuestError, debian.PackageError, machine.MachineError,
                   nvram.NvramError, monitor.MonitorError, CollectorError, bochs.BochsError, grub.GrubError, linux_image.ImageError)


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
        elif name == "bus" and value in ("ahci", "ide", "nvme"):
            wish.bus = value
        elif name == "base" and Path(value).is_file():
            wish.base = Path(value)
        else:
            raise argparse.ArgumentTypeError(f"{option!r}: allowed are sector=512|4096, bus=ahci|ide|nvme, base=FILE")
    return wish


def parse_setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="testbed/lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="fetch the kernel and build the guest images into the cache")
    commands.add_parser("accelerator", help="say which accelerator `auto` takes here, and why")
    run = commands.add_parser("run", help="boot one emulated machine, run a workload in it, leave a report.json",
                              description="Boots one emulated machine, runs a workload in it and leaves a report.json.",
                              epilog="Example: testbed/lab run --cpus 2 --disk 256M --workload fio-mix --out /tmp/run1")
    run.add_argument("--out", type=Path, required=True, help="folder for logs, images and report.json")
    _add_machine(run.add_argument_group("machine"))
    _add_sensor(run.add_argument_group("sensor and collector"))
    _add_work(run.add_argument_group("what it does"))
    _add_witnesses(run.add_argument_group("witnesses"))
    return parser


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--emulator", choices=["qemu", "bochs"], default="qemu",
                       help="bochs has Intel's VT-x and PIIX3 IDE disks, and 512M of memory unless told otherwise")
    group.add_argument("--firmware", choices=["uefi", "bios"], default="uefi",
                       help="bios: the sensor is undercroft.mb2, started by GRUB; with two CPUs Bochs needs it")
    group.add_argument("--machine", choices=["q35", "pc"], default="q35",
                       help="pc is an i440FX with its disks, the system partition too, on IDE; take --sensor-nic e1000 then")
    group.add_argument("--cpus", type=int, default=1)
    group.add_argument("--memory", default="", help="2G by default")
    group.add_argument("--disk", action="append", default=[], type=parse_disk, metavar="SIZE[:OPTION...]",
                       help="test disk, serial number test0 and so on; options sector=4096, bus=ide|nvme, base=FILE "
                            "(AHCI disks have 512-byte logical sectors in QEMU; 4096 is then the physical size)")
    group.add_argument("--accel", choices=["auto", "tcg", "kvm"], default="auto",
                       help="auto takes KVM only if a guest with the svm flag really boots under it")
    group.add_argument("--cpu-model", default="", help="QEMU's -cpu; EPYC with SVM and nested paging by default")
    group.add_argument("--sensor-nic", choices=machine.SENSOR_NICS, default="e1000e", help="the sensor's card")
    group.add_argument("--netdev", default="user",
                       help="back end of the sensor's NIC, as QEMU's -netdev without id; Bochs: user, or null (nobody answers)")
    group.add_argument("--nic", action="store_true", help="the sensor's NIC even without the sensor (identity tests)")
    group.add_argument("--nic-rom", action="store_true", help="give the NIC its firmware driver, as real cards have")
    group.add_argument("--guest-nic", action="store_true", help="give the guest a network card of its own")
    group.add_argument("--bochs", action="append", default=[], metavar="LINE", help="one more line for Bochs's configuration")
    group.add_argument("--instrument", type=Path, metavar="LIBRARY", help="Bochs: count exits and instructions (counts.jsonl)")
    group.add_argument("--instruction-limit", type=int, default=Request.instruction_limit, help="where Bochs ends a run")
    group.add_argument("--qemu", action="append", default=[], metavar="ARGUMENT", help="one more argument for QEMU")


def _add_sensor(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--sensor", type=Path, help="undercroft.efi, or undercroft.mb2 for BIOS; without it the machine boots bare")
    group.add_argument("--sensor-entry", type=Path, metavar="FILE", help="BIOS: GRUB's commands that start the sensor (files in /undercroft)")
    group.add_argument("--core", type=Path, help="core.elf; next to the sensor by default")
    group.add_argument("--config", type=Path, help="undercroft.conf; with --collector one is made")
    group.add_argument("--sensor-as", choices=["boot", "driver"], default="boot",
                       help="how the firmware starts it: first in BootOrder, or in DriverOrder before any boot entry")
    group.add_argument("--collector", type=Path, metavar="UNDERCROFT",
                       help="start `UNDERCROFT collect`, let the sensor send to it, stop it at the end")
    group.add_argument("--sensor-set", action="append", default=[], type=parse_setting, metavar="NAME=VALUE",
                       help="line for the configuration made for --collector")
    group.add_argument("--ucctl", type=Path, help="static program to put at /bin/ucctl of the guest; with --collector its workload has the key in CONTROL_KEY")
    group.add_argument("--program", action="append", default=[], type=Path, metavar="FILE", help="one more static program for the guest's /bin")


def _add_work(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--workload", default="boot", help="name in testbed/workloads, or a .sh file")
    group.add_argument("--set", action="append", default=[], type=parse_setting, metavar="NAME=VALUE",
                       help="variable for the workload")
    group.add_argument("--kernel-options", default="", help="added to the kernel's command line")
    group.add_argument("--payload", help="boot this EFI program instead of Linux; `memtest` is Debian's memtest86+")
    group.add_argument("--xen", action="store_true", help="boot Debian's Xen, and Linux as its first domain")
    group.add_argument("--payload-options", default="", help="its load options")
    group.add_argument("--payload-seconds", type=float, default=10.0,
                       help="memtest: how long all CPUs must have tested without an error, by its own clock")
    group.add_argument("--until", default="", metavar="STAGE", help="end well once the guest reports this stage")
    group.add_argument("--interactive", action="store_true", help="serial console on this terminal (--workload shell)")
    group.add_argument("--timeout", type=float, default=300.0, help="seconds until the machine is ended")


def _add_witnesses(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--blklog", action="store_true", help="log all writes of the test disks with QEMU's blklogwrites")
    group.add_argument("--trace", action="store_true", help="trace AHCI commands and block-layer requests in QEMU")


def _sensor(arguments: argparse.Namespace, config: Path | None) -> Sensor | None:
    if not arguments.sensor:
        return None
    core = arguments.core or arguments.sensor.with_name("core.elf")
    if not config:
        raise ValueError("--sensor needs --config FILE or --collector")
    for path in (arguments.sensor, core, config):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
    return Sensor(arguments.sensor, core, config)


def _request(arguments: argparse.Namespace, sensor: Sensor | None) -> Request:
    if arguments.firmware == "bios" and (arguments.payload or arguments.xen or arguments.sensor_as == "driver"):
        raise ValueError("--payload, --xen and --sensor-as driver need --firmware uefi")
    bare_accelerator = accel.Choice("none", "Bochs interprets")
    choice = accel.choose(arguments.accel) if arguments.emulator == "qemu" else bare_accelerator
    say(f"accelerator {choice.accelerator}: {choice.reason}")
    payload, options = arguments.payload, arguments.payload_options
    if payload == "memtest":
        payload, options = memtest.PROGRAM, options or memtest.OPTIONS
    return Request(
        out=arguments.out, workload=arguments.workload, emulator=arguments.emulator, firmware=arguments.firmware,
        cpus=arguments.cpus, memory=arguments.memory or ("2G" if arguments.emulator == "qemu" else "512M"), chipset=arguments.machine,
        sensor_entry=arguments.sensor_entry.read_text(encoding="ascii") if arguments.sensor_entry else "",
        bochs_lines=arguments.bochs, instrument=arguments.instrument, instruction_limit=arguments.instruction_limit,
        accelerator=choice.accelerator, cpu_model=arguments.cpu_model, sensor=sensor, sensor_as=arguments.sensor_as,
        sensor_nic=True if arguments.nic else None,
        disks=arguments.disk, log_writes=arguments.blklog, trace_reads=arguments.trace,
        nic_model=arguments.sensor_nic, nic_netdev=arguments.netdev,
        nic_rom=arguments.nic_rom, guest_nic=arguments.guest_nic, timeout=arguments.timeout,
        kernel_options=arguments.kernel_options, settings=dict(arguments.set), qemu_arguments=arguments.qemu,
        guest_files={f"bin/{path.name}": path for path in [*arguments.program, *([arguments.ucctl] if arguments.ucctl else [])]},
        beneath_xen=arguments.xen, payload=Path(payload) if payload else None, payload_options=options, interactive=arguments.interactive)


def _run(arguments: argparse.Namespace) -> int:
    arguments.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        config, collector = arguments.config, None
        if arguments.collector:
            identity = Identity()
            collector = stack.enter_context(Collector(arguments.collector, arguments.out, identity))
            config = arguments.out / "undercroft.conf"
            if arguments.ucctl:
                arguments.set.append(("CONTROL_KEY", identity.control_key))
            config.write_text(sensor_config(identity, collector.port, {"nic": arguments.sensor_nic, **dict(arguments.sensor_set)}), encoding="utf-8")
        request = _request(arguments, _sensor(arguments, config))
        if collector:
            request.drain = lambda: collector.wait_until_quiet(DRAIN_SECONDS)
        session = Session(request) if request.emulator == "qemu" else BochsSession(request)
        good = _perform(session, arguments)
        if collector:
            collector.stop()
            session.report["collector"] = {"exit": collector.exit_code, "store": str(collector.store),
                                           "metrics": collector.metrics()}
            good = good and collector.exit_code == 0
            session.write_report()
    return 0 if good else 1


def _perform(session: Session | BochsSession, arguments: argparse.Namespace) -> bool:
    machine_description = session.prepare()
    hooks = Hooks(on_event=say)
    if arguments.payload == "memtest":
        hooks.stop_after = lambda outcome, now: memtest.read_progress(machine_description.console).passed(
            arguments.cpus, arguments.payload_seconds)
    elif arguments.until:
        hooks.stop_after = lambda outcome, now: outcome.reached(arguments.until)
    outcome = session.run(hooks)
    refusal = _refusal(machine_description.console) if arguments.sensor else None
    if refusal:
        say(f"the machine ran WITHOUT the sensor: {refusal}")
    good = outcome.state == "finished" or (bool(arguments.until) and outcome.reached(arguments.until))
    if arguments.payload == "memtest":
        progress = memtest.read_progress(machine_description.console)
        good = progress.passed(arguments.cpus, arguments.payload_seconds)
        session.report["memtest"] = {**vars(progress), "passed": good}
        session.write_report()
        say(f"memtest86+: {progress}")
    say(f"{outcome.state} after {outcome.seconds:.1f} s; report: {session.folder / 'report.json'}")
    return good and not refusal and outcome.result("exit_status") in (0, None)


def _refusal(console: Path) -> str | None:
    """What the loader said when the sensor could not start; the system boots without it then."""
    found = re.search(r"undercroft: error: ([^\r\n]*)", console.read_text(encoding="utf-8", errors="replace")) if console.is_file() else None
    return found[1] if found else None


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        if arguments.command == "prepare":
            linux, boot, tools, seconds = guest.prepare()
            say(f"{linux.package} {linux.version}; {boot}; {tools}; {seconds:.1f} s")
            return 0
        if arguments.command == "accelerator":
            choice = accel.choose("auto")
            print(f"{choice.accelerator}: {choice.reason}")
            return 0
        return _run(arguments)
    except EXPECTED_ERRORS as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 2
