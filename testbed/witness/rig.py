# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One recorded run: an emulated machine with the sensor, a collector, faults on the way if asked for, and QEMU's own
logs of the same disk. What it leaves in its folder is judged afterwards, by as many witnesses as like."""
from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testbed import collector as collectors
from testbed.behaviour import host
from testbed.collector import Collector, Identity, sensor_config
from testbed.faults import CollectorKiller, Faults, UdpFaultProxy
from testbed.monitor import Monitor
from testbed.request import DiskWish, Request, Sensor
from testbed.run import Hooks, Outcome
from testbed.session import Session, say

from . import qemu_trace, trouble

IDENTITY = Identity("75636f66742d7769746e6573732d3031", "5a" * 32, "c3" * 32)
ESP_PORT, DISK_PORT = 0, 1
PAGE_TOKEN = "a-token-for-witnesses-0123456789abcdef"


class RigError(Exception):
    """The run could not be made; says nothing about what it was to witness."""


@dataclass(frozen=True)
class Build:
    """Where the build left what is needed."""

    folder: Path

    def file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise RigError(f"{path} is missing: build first (cmake --build {self.folder})")
        return path

    @property
    def undercroft(self) -> Path:
        return self.file("bin/undercroft")

    @property
    def probe(self) -> Path:
        return self.file("testbed/probe.so")

    def guest_program(self, name: str) -> Path:
        return self.file("bin/ucctl" if name == "ucctl" else f"testbed/guest/{name}")

    def sensor(self, config: Path, firmware: str) -> Sensor:
        loader = {"uefi": "bin/undercroft.efi", "bios": "bin/undercroft.mb2"}[firmware]
        return Sensor(self.file(loader), self.file("bin/core.elf"), config)


@dataclass(frozen=True)
class Setup:
    """What is run. `kills`: the collector dies when so many datagrams have passed the proxy."""

    workload: str
    settings: dict[str, str] = field(default_factory=dict)
    sensor: bool = True
    firmware: str = "uefi"  # or bios
    cpus: int = 1
    memory: str = "2G"
    disk_bytes: int = 256 << 20
    sector_bytes: int = 512
    disk_bus: str = "ahci"  # or ide
    mode: str = "content"
    policy: str = "hold"
    buffer_kib: int = 65536
    mtu: int = 1500
    nic: str = "e1000e"  # of machine.SENSOR_NICS
    faults: Faults | None = None
    keep_arrivals: bool = False  # of datagrams at the proxy, in arrivals.json
    kills: tuple[int, ...] = ()
    log_writes: bool = True
    trace: bool = True
    probe: bool = True
    count_instructions: bool = False
    profile: Path | None = None  # where the probe writes how often each block of the sensor ran
    guest_programs: tuple[str, ...] = ()
    kernel_options: str = ""
    xen: bool = False  # Xen first, and Linux as its first domain
    payload: Path | None = None
    payload_options: str = ""
    payload_until: str = ""  # ends when the console shows this (regular expression) ...
    payload_seconds: float = 0.0  # ... or after this time
    devices: tuple[str, ...] = ()
    config: dict[str, str] = field(default_factory=dict)
    waits: bool = False  # sends wait for the collector's answer
    accelerator: str = "tcg"
    behaviour: host.Wish | None = None  # a workload of testbed/behaviour with its documents; then `workload` and disks are its own
    control: Path | None = None  # socket of the collector's control
    serve: bool = False  # the collector has a page, with PAGE_TOKEN; it says in collector-0.log where
    model: Path | None = None  # the collector looks for ransomware with it, and holds writes on an alert (needs `control`)
    gdb: Path | None = None  # socket of QEMU's GDB stub
    ends: str = "finished"  # how the machine is to end, by Outcome.state
    timeout_s: float = 240.0


@dataclass
class Run:
    """What a run left. Read back from its folder by `load`."""

    folder: Path
    facts: dict[str, Any]

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def final_image(self) -> Path:
        return self.folder / "machine" / "disk0.raw"

    @property
    def base_image(self) -> Path:
        return self.folder / "base.raw"

    @property
    def write_log(self) -> Path:
        return self.folder / "machine" / "disk0.writes"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "machine" / "witness.log"

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.folder / "machine" / "report.json").read_text(encoding="utf-8"))

    def trace(self) -> qemu_trace.Trace:
        return qemu_trace.read_trace(self.qemu_log, {self.disk_port: int(self.facts["setup"]["sector_bytes"])})

    @property
    def disk_port(self) -> int:
        """The test disk's."""
        return qemu_trace.IDE_PORTS if self.facts["setup"].get("disk_bus") == "ide" else DISK_PORT

    def save(self) -> None:
        (self.folder / "run.json").write_text(json.dumps(self.facts, indent=1, default=str), encoding="utf-8")


def load(folder: Path) -> Run:
    path = folder / "run.json"
    if not path.is_file():
        raise RigError(f"there is no finished run in {folder}")
    return Run(folder, json.loads(path.read_text(encoding="utf-8")))


def make_base_image(path: Path, size: int) -> None:
    """Random bytes from a fixed seed, so that a write of zeros, a trim and no write at all differ."""
    generator = random.Random("undercroft base image")
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(generator.randbytes(1 << 20))


def config_text(setup: Setup, collector_port: int) -> str:
    return sensor_config(IDENTITY, collector_port, {
        "capture": "on", "mode": setup.mode, "policy": setup.policy, "buffer_kib": str(setup.buffer_kib), "mtu": str(setup.mtu),
        "nic": setup.nic, **setup.config})


@contextlib.contextmanager
def _receiving(setup: Setup, build: Build, folder: Path, facts: dict[str, Any]) -> Iterator[int]:
    """Collector, proxy and killer as `setup` asks for; gives the port that the sensor sends to."""
    if not setup.sensor:
        yield 0
        return
    options = ["--roll-seconds", "5"]
    if setup.control:
        options += ["--control-socket", str(setup.control)]
    if setup.serve:
        token = folder / "page-token"
        token.write_text(PAGE_TOKEN + "\n", encoding="ascii")
        options += ["--serve", "127.0.0.1:0", "--serve-token-file", str(token)]
    if setup.model:
        options += ["--detect", str(setup.model), "--detect-policy", "hold-writes"]
    collector = Collector(build.undercroft, folder, IDENTITY, options)
    proxy = UdpFaultProxy(("127.0.0.1", collector.port), setup.faults, keep_arrivals=setup.keep_arrivals).start() if setup.faults else None
    killer = None
    if setup.kills:
        if proxy is None:
            raise RigError("kills are timed by the proxy's count: give faults too")
        killer = CollectorKiller(collector.start, lambda: proxy.to_collector.received, setup.kills).start()
    process = None if killer else collector.start()
    try:
        yield proxy.port if proxy else collector.port
    finally:
        if killer:
            process = killer.stop()
            facts["kills"], facts["killer_error"] = killer.kills, killer.error
        if process:
            facts["collector_exit"] = collectors.end(process)
        if proxy:
            facts["proxy"] = proxy.stop()
            if setup.keep_arrivals:
                (folder / "arrivals.json").write_text(json.dumps(proxy.arrivals), encoding="utf-8")


def perform(setup: Setup, build: Build, folder: Path, on_stage: Callable[[str, Monitor], None] | None = None,
            lay: Callable[[Path], None] | None = None, beside: Callable[[], AbstractContextManager[None]] | None = None) -> Run:
    """`lay` may change the base image, `beside` is entered before the machine starts and left when it has ended, while the collector receives. Makes the run in `folder` (emptied first). Raises RigError unless the machine ended by itself and well."""
    shutil.rmtree(folder, ignore_errors=True)
    machine = folder / "machine"
    machine.mkdir(parents=True)
    run = Run(folder, {"setup": asdict(setup), "started": time.time()})
    if setup.disk_bytes:
        make_base_image(run.base_image, setup.disk_bytes)
        if lay:
            lay(run.base_image)
    try:
        with _receiving(setup, build, folder, run.facts) as port:
            config = folder / "undercroft.conf"
            config.write_text(config_text(setup, port), encoding="utf-8")
            session = Session(_request(setup, build, run, config))
            hooks = Hooks(on_event=say, on_stage=on_stage)
            if setup.payload:  # it never ends by itself
                hooks.stop_after = lambda _, now: now > setup.payload_seconds or _shown(machine, setup.payload_until)
            with beside() if beside else contextlib.nullcontext():
                outcome = session.run(hooks)
    except Exception as error:  # whatever it is: what the machine and the collector said by then belongs to it
        raise RigError(trouble.told_of(folder, error)) from error
    run.facts |= {"state": outcome.state, "seconds": outcome.seconds, "efer_at_end": outcome.efer_at_end}
    run.save()
    require_ended(run, outcome, "stopped" if setup.payload else setup.ends, setup.timeout_s)
    return run


def require_ended(run: Run, outcome: Outcome, state: str, timeout_s: float) -> None:
    """Raises RigError unless machine and collector ended as they should."""
    if outcome.state != state:
        raise RigError(trouble.told(run.folder, trouble.machine_ended(outcome, timeout_s)))
    if code := run.facts.get("collector_exit", 0):
        raise RigError(trouble.told(run.folder, trouble.collector_ended(code)))


def _request(setup: Setup, build: Build, run: Run, config: Path) -> Request:
    machine = run.folder / "machine"
    arguments = ["-msg", "timestamp=on", "-D", str(run.qemu_log)]
    if setup.probe:
        arguments += ["-d", "plugin", "-plugin", f"file={build.probe}" + (",count=on" if setup.count_instructions else "")
                      + (f",profile={setup.profile}" if setup.profile else "")]
    arguments += [item for device in setup.devices for item in ("-device", device)]
    if setup.gdb:
        arguments += ["-chardev", f"socket,id=gdb,path={setup.gdb},server=on,wait=off", "-gdb", "chardev:gdb"]
    events = qemu_trace.EVENTS + (qemu_trace.IDE_EVENTS if setup.disk_bus == "ide" else ())
    if setup.trace:
        arguments += [item for event in events for item in ("-trace", f"enable={event}")]
    disks = [DiskWish(setup.disk_bytes, sector=setup.sector_bytes, bus=setup.disk_bus, base=run.base_image)] if setup.disk_bytes else []
    request = Request(
        out=machine, workload=setup.workload, accelerator=setup.accelerator, cpus=setup.cpus, memory=setup.memory, disks=disks, log_writes=setup.log_writes,
        sensor=build.sensor(config, setup.firmware) if setup.sensor else None, firmware=setup.firmware, settings=dict(setup.settings), timeout=setup.timeout_s,
        kernel_options=setup.kernel_options,
        guest_files={f"bin/{name}": build.guest_program(name) for name in setup.guest_programs},
        peer=build.file("testbed/peer.so") if setup.waits else None, nic_model=setup.nic, beneath_xen=setup.xen, payload=setup.payload, payload_options=setup.payload_options,
        qemu_arguments=arguments)
    return host.arrange(request, setup.behaviour) if setup.behaviour else request


def _shown(machine: Path, pattern: str) -> bool:
    console = machine / "console.log"
    return bool(pattern) and console.is_file() and re.search(pattern, console.read_text(errors="replace")) is not None


def default_build() -> Path:
    return Path(os.environ.get("UNDERCROFT_BUILD", "build")).resolve()


def complain(error: Exception) -> int:
    print(f"could not make the run: {error}", file=sys.stderr)
    return 2
