# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One recorded run in Bochs: VT-x, IDE and e1000, with a counter outside the sensor (probe/bochs_counter.c)."""
from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testbed.bochs_session import BochsSession
from testbed.collector import Collector, sensor_config
from testbed.request import DiskWish, Request, Sensor
from testbed.run import Hooks
from testbed.session import say

from . import fault_check, rig, trouble
from .rig import IDENTITY, Build, RigError, Run

# Longer than in QEMU: an interpreter on a busy host may pause for seconds.
QUIET_SECONDS = 10.0
DRAIN_SECONDS = 100.0
PROGRAMS = {"uefi": "bin/undercroft.efi", "bios": "bin/undercroft.mb2"}


@dataclass(frozen=True)
class Setup:
    """What is run. Without a collector nobody answers the sensor, and the run is the same to the instruction."""

    workload: str
    firmware: str
    cpus: int = 1
    sensor: bool = True
    collector: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    disk_bytes: int = 16 << 20
    config: dict[str, str] = field(default_factory=dict)
    kernel_options: str = ""
    waits: bool = False  # sends wait for the collector's answer
    dumps: bool = False  # memory, for bochs_nested.py
    dump_at: str = ""  # and whenever the sensor comes to this function (the beginning of its name)
    guest_programs: tuple[str, ...] = ()
    timeout_s: float = 1500.0  # the instruction limit is the bound that does not depend on the host
    instruction_limit: int = 400_000_000_000  # ticks; a halted processor passes a thousand million of them in a second of ours


@contextlib.contextmanager
def _receiving(setup: Setup, build: Build, folder: Path, facts: dict[str, Any]) -> Iterator[Collector | None]:
    if not (setup.sensor and setup.collector):
        yield None
        return
    with Collector(build.undercroft, folder, IDENTITY) as collector:
        try:
            yield collector
        finally:
            collector.stop()
            facts["collector_exit"] = collector.exit_code


def perform(setup: Setup, build: Build, folder: Path) -> Run:
    """Makes the run in `folder` (emptied first). Raises RigError unless the machine ended by itself and well."""
    shutil.rmtree(folder, ignore_errors=True)
    machine = folder / "machine"
    machine.mkdir(parents=True)
    run = Run(folder, {"setup": asdict(setup), "started": time.time()})
    if setup.disk_bytes:
        rig.make_base_image(run.base_image, setup.disk_bytes)
    try:
        with _receiving(setup, build, folder, run.facts) as collector:
            config = folder / "undercroft.conf"
            settings = {"policy": "hold", "mode": "content", "buffer_kib": "4096", **setup.config}
            config.write_text(sensor_config(IDENTITY, collector.port if collector else 9, settings), encoding="ascii")
            request = _request(setup, build, run, config)
            if collector:
                request.drain = lambda: collector.wait_until_quiet(DRAIN_SECONDS, QUIET_SECONDS)
            outcome = BochsSession(request).run(Hooks(on_event=say))
    except Exception as error:  # as in rig.perform
        raise RigError(trouble.told_of(folder, error)) from error
    run.facts |= {"state": outcome.state, "seconds": outcome.seconds}
    run.save()
    rig.require_ended(run, outcome, "finished", setup.timeout_s)
    return run


def _request(setup: Setup, build: Build, run: Run, config: Path) -> Request:
    sensor = Sensor(build.file(PROGRAMS[setup.firmware]), build.file("bin/core.elf"), config) if setup.sensor else None
    return Request(
        out=run.folder / "machine", workload=setup.workload, emulator="bochs", firmware=setup.firmware, cpus=setup.cpus, memory="512M",
        sensor=sensor, disks=[DiskWish(setup.disk_bytes, base=run.base_image)] if setup.disk_bytes else [],
        nic_netdev="user" if setup.collector else "null", settings=dict(setup.settings), timeout=setup.timeout_s,
        instruction_limit=setup.instruction_limit, instrument=build.file("testbed/bochs_counter.so"),
        dumps=setup.dumps, dump_at=fault_check.offset_of(build, setup.dump_at) if setup.dump_at else None,
        guest_files={f"bin/{name}": build.guest_program(name) for name in setup.guest_programs}, kernel_options=setup.kernel_options, peer=build.file("testbed/peer.so") if setup.waits else None)
