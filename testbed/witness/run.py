#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""run.py make RUN | judge WITNESS [--build FOLDER]

`make` performs one of the recorded RUNS in BUILD/witness/RUN, `judge` lets a witness speak about it. ctest does
both, runs first (fixtures), so that one run serves several witnesses. Exit code 0: holds; 1: does not; 2: could not be made.
"""
from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.behaviour import host as behaviour  # noqa: E402
from testbed.btf import BtfError  # noqa: E402
from testbed.collector import CollectorError  # noqa: E402
from testbed.faults import Faults  # noqa: E402
from testbed.gdbstub import GdbError  # noqa: E402
from testbed.linux_image import ImageError  # noqa: E402
from testbed.sntp import SntpServer  # noqa: E402
from testbed.undo import UndoError  # noqa: E402
from testbed.witness import (  # noqa: E402
    alert_check, bios_check, clock_check, control_check, fault_check, forms_check, held_check, identity_check, judge, memory_snapshot, memory_store, memory_survival, memory_touch, memory_watch,
    nics_check, page_check, prompt_check, reach_check, rig, store, undo_check)
from testbed.witness.access import Verdict  # noqa: E402
from testbed.witness.blklogwrites import LogError  # noqa: E402
from testbed.witness.nested_tables import TableError  # noqa: E402
from testbed.witness.qemu_trace import TraceError  # noqa: E402
from testbed.witness.rig import Build, Run, Setup  # noqa: E402
from testbed.witness.store import StoreError  # noqa: E402

WORKLOADS = Path(__file__).resolve().parent / "workloads"
MEMTEST = Path("/boot/memtest86+x64.efi")
FAULT_RATE = 0.2
KILLS = (1500, 6000)
WITNESSED_WRITES = 20000
IDE_WRITES = 3000
IDE_PIO_WRITES = 400
TOUCH_SEED = 20261122
SNAPSHOT_MIB = 384
LEAST_CYCLES = 60  # of single pages


CONTROL = Path(tempfile.gettempdir()) / f"undercroft-control-{os.getpid()}"
ATTACKED = behaviour.Wish("in-place", 11, "ext4", files=600, seconds=25)  # UNDONE's documents
UNDONE = behaviour.Wish("in-place", 11, "ext4", files=600, seconds=20)


def own(name: str) -> str:
    return str(WORKLOADS / f"{name}.sh")


RUNS: dict[str, Setup] = {
    # Witnesses 1, 2, 3; and that one CPU boots.
    "mix": Setup("fio-mix", timeout_s=400),
    # The same on a PIIX3 IDE controller: by bus master, and by PIO from two CPUs.
    "ide": Setup("fio-mix", settings={"FIO_WRITES": str(IDE_WRITES * 5 // 4)}, disk_bus="ide", disk_bytes=128 << 20, timeout_s=400),
    "ide_pio": Setup(own("smp"), cpus=2, disk_bus="ide", disk_bytes=64 << 20, timeout_s=400, kernel_options="libata.dma=0"),
    # Witness 4. A small buffer, so that what is left at power-off is delivered in the time the sensor allows itself.
    "faults": Setup("fio-mix", settings={"FIO_WRITES": "2000"}, buffer_kib=2048, timeout_s=300, kills=KILLS,
                    faults=Faults(drop=FAULT_RATE, duplicate=FAULT_RATE, reorder=FAULT_RATE)),
    # Witness 5. The drop run has full contents, so that the card cannot keep up with a burst.
    "drop": Setup(own("burst"), policy="drop", buffer_kib=64, disk_bytes=64 << 20),
    "hold": Setup(own("burst"), policy="hold", buffer_kib=64, disk_bytes=64 << 20),
    # Witness 6; and two CPUs.
    "bare": Setup("identity", sensor=False, cpus=2, disk_bytes=0, log_writes=False, trace=False, timeout_s=120),
    "smp2": Setup(own("smp"), settings={"IDENTITY": "1"}, cpus=2, disk_bytes=64 << 20),
    "smp4": Setup(own("smp"), cpus=4, disk_bytes=128 << 20),
    "control": Setup(own("control"), settings={"CONTROL_KEY": rig.IDENTITY.control_key}, cpus=2, disk_bytes=64 << 20, guest_programs=("ucctl",)),
    # Writes held by the collector, with native command queuing and without: the guest sees a held command in another register each.
    "held": Setup(own("held"), cpus=2, disk_bytes=64 << 20, timeout_s=300, control=CONTROL),
    "held_plain": Setup(own("held"), cpus=2, disk_bytes=64 << 20, timeout_s=300, control=CONTROL, kernel_options="libata.force=noncq"),
    "undo": Setup("boot", behaviour=UNDONE, disk_bytes=0, log_writes=False, trace=False, timeout_s=300),
    # A detector beside the collector, which has the writes held.
    "alert": Setup("boot", behaviour=ATTACKED, disk_bytes=0, mode="header", trace=False, faults=Faults(), keep_arrivals=True, control=CONTROL,
                   model=alert_check.MODEL, timeout_s=300),
    "hotplug": Setup(own("hotplug"), cpus=2, disk_bytes=64 << 20),
    # Started by GRUB on a BIOS machine: SeaBIOS and GRUB use the disk beneath the sensor, too.
    "bios1": Setup(own("smp"), settings={"MEMORY_MAP": "1"}, firmware="bios", disk_bytes=64 << 20),
    "bios2": Setup(own("smp"), settings={"MEMORY_MAP": "1"}, firmware="bios", cpus=2, disk_bytes=64 << 20),
    # Witness 7: memtest86+ starts all CPUs by itself.
    "memtest": Setup("boot", cpus=2, memory="384M", buffer_kib=4096, disk_bytes=0, log_writes=False, trace=False, payload=MEMTEST,
                     payload_options="console=ttyS0,115200", payload_until=r"#[3-9] +\[", payload_seconds=100, timeout_s=120, devices=("VGA",)),  # it wants a screen
    # Witness 7, the other kernel: Xen has its own start of CPUs, page tables and interrupts.
    "xen": Setup(own("xen"), cpus=2, disk_bytes=64 << 20, xen=True, timeout_s=450),
    "fault": Setup(own("fault"), cpus=2, disk_bytes=64 << 20, ends="crashed", gdb=Path(tempfile.gettempdir()) / f"undercroft-gdb-{os.getpid()}"),
    "reach": Setup(own("reach"), settings=reach_check.SETTINGS, mode="header", disk_bytes=64 << 20, guest_programs=("reach",)),
    # Other cards than the e1000e of all other runs.
    "nic_e1000": Setup(own("nics"), settings=nics_check.SETTINGS, nic="e1000", disk_bytes=64 << 20, kernel_options="iomem=relaxed", timeout_s=240),
    "nic_virtio": Setup(own("nics"), settings=nics_check.SETTINGS, nic="virtio", disk_bytes=64 << 20, kernel_options="iomem=relaxed", timeout_s=240),
    # The network stack gets its address from another's DHCP server, slirp's.
    "prompt": Setup(own("prompt"), mode="header", disk_bytes=64 << 20, faults=Faults(), keep_arrivals=True, config={"address": "dhcp"}, timeout_s=180),
    "clock": Setup(own("clock"), mode="header", disk_bytes=64 << 20, timeout_s=240),
    # A browser looks on. With a time server, so that records' times are the host's.
    "page": Setup(own("page"), settings={"SECONDS_OF_WRITES": str(page_check.SECONDS_OF_WRITES)}, mode="header", disk_bytes=page_check.DISK_BYTES, log_writes=False, trace=False, serve=True, timeout_s=330),
    # The memory monitor. The stream's buffer is large, so that a burst of records on a slow host is not dropped.
    "memory_touch": Setup(own("memory-touch"), settings={"CONTROL_KEY": rig.IDENTITY.control_key, "SEED": str(TOUCH_SEED), "TURN_MS": "1000"}, cpus=2, memory="512M",
                          mode="header", disk_bytes=0, log_writes=False, trace=False, config={"memory_buffer_kib": "32768"},
                          guest_programs=("ucctl", "touch_pages", "hammer_pages"), timeout_s=400),
    "memory_snapshot": Setup(own("memory-snapshot"), settings={"CONTROL_KEY": rig.IDENTITY.control_key, "EVERY": "10s", "RATE": "40M",
                                                              "SWEEPS": str(memory_snapshot.SAVED_SWEEPS)},
                             cpus=2, memory=f"{SNAPSHOT_MIB}M", mode="header", buffer_kib=4096, disk_bytes=64 << 20, log_writes=False, trace=False,
                             config={"memory_buffer_kib": "16384"}, kernel_options="no_timer_check", guest_programs=("ucctl",),
                             gdb=Path(tempfile.gettempdir()) / f"undercroft-gdb-{os.getpid()}", timeout_s=900),
    "forms_bare": Setup(own("forms"), sensor=False, disk_bytes=64 << 20, log_writes=False, trace=False, guest_programs=("forms",), timeout_s=120),
    "forms": Setup(own("forms"), mode="header", disk_bytes=64 << 20, guest_programs=("forms",), timeout_s=150),
}

# Survival beneath load: seconds of each mode; `make memory` takes two minutes, `make soak` an hour.
SURVIVAL_S = int(os.environ.get("UNDERCROFT_MEMORY_SECONDS", "20"))
SURVIVAL_MODES = os.environ.get("UNDERCROFT_MEMORY_MODES", " ".join([*memory_survival.PHASES, memory_survival.PLAIN]))
RUNS["memory_survival"] = Setup(
    own("memory-survival"), settings={"CONTROL_KEY": rig.IDENTITY.control_key, "SECONDS_EACH": str(SURVIVAL_S), "MODES": SURVIVAL_MODES, "SEED": str(TOUCH_SEED)},
    cpus=2, memory="384M", mode="header", buffer_kib=4096, disk_bytes=64 << 20, log_writes=False, trace=False, config={"memory_buffer_kib": "16384"},
    kernel_options="no_timer_check", guest_programs=("ucctl", "touch_pages"), timeout_s=SURVIVAL_S * len(SURVIVAL_MODES.split()) * 1.5 + 900)
RUNS["memory_watch"] = dataclasses.replace(RUNS["memory_survival"], settings=RUNS["memory_survival"].settings | {"MODES": "touched"}, timeout_s=300)


def make(name: str, build: Build, folder: Path) -> None:
    setup, on_stage, lay = RUNS[name], None, None
    if name == "reach":
        on_stage, lay = reach_check.saver(folder), reach_check.lay_patterns
    elif name.startswith("nic_"):
        on_stage = nics_check.saver(folder)
    elif name == "memory_snapshot" and setup.gdb:
        on_stage = memory_snapshot.saver(build, folder, setup.gdb, SNAPSHOT_MIB << 20)
    elif name == "memory_survival":
        on_stage = memory_survival.sampler(folder, SURVIVAL_S)
    elif setup.control and not setup.model:
        on_stage = held_check.holder(build, folder, setup.control)
    elif setup.gdb:
        on_stage = fault_check.breaker(build, folder, setup.gdb)
    if name == "clock":
        with SntpServer(clock_check.OFFSET_S) as server:
            setup = dataclasses.replace(setup, config={"sntp": f"10.0.2.2:{server.port}", "sntp_interval_s": "1"})
            run = rig.perform(setup, build, folder, on_stage=clock_check.jumper(server))
            clock_check.keep(server, folder)
    elif name == "page":
        with SntpServer(0.0) as server:
            setup = dataclasses.replace(setup, config={"sntp": f"10.0.2.2:{server.port}", "sntp_interval_s": "1"})
            run = rig.perform(setup, build, folder, beside=lambda: page_check.watching(folder))
    elif setup.model:
        with alert_check.Releaser(build, folder, CONTROL):
            run = rig.perform(setup, build, folder)
    else:
        run = rig.perform(setup, build, folder, on_stage=on_stage, lay=lay)
    print(f"{name}: the machine ended by itself after {run.facts['seconds']} s; {folder}")


class Judges:
    """One method per witness; its name is the witness's."""

    def __init__(self, build: Build, runs: Path) -> None:
        self._build = build
        self._runs = runs

    def _run(self, name: str) -> Run:
        return rig.load(self._runs / name)

    def _evidence(self, name: str) -> judge.Evidence:
        return judge.Evidence(self._run(name))

    def writes(self) -> Verdict:
        return judge.writes(self._evidence("mix"), WITNESSED_WRITES)

    def replay(self) -> Verdict:
        return judge.replay(self._run("mix"), self._build)

    def reads(self) -> Verdict:
        return judge.reads(self._evidence("mix"))

    def ide(self) -> Verdict:
        evidence = self._evidence("ide")
        verdict = judge.writes(evidence, IDE_WRITES)
        verdict.merge(judge.reads(evidence))
        verdict.merge(judge.replay(evidence.run, self._build))
        return verdict

    def ide_pio(self) -> Verdict:
        evidence = self._evidence("ide_pio")
        verdict = judge.pio(evidence, IDE_PIO_WRITES)
        verdict.merge(judge.replay(evidence.run, self._build))
        return verdict

    def faults(self) -> Verdict:
        evidence = self._evidence("faults")
        verdict = judge.survived_faults(evidence, len(KILLS), FAULT_RATE)
        verdict.merge(judge.replay(evidence.run, self._build))
        return verdict

    def gaps(self) -> Verdict:
        verdict = judge.gaps(self._evidence("drop"), wanted=True)
        verdict.merge(judge.gaps(self._evidence("hold"), wanted=False))
        return verdict

    def identity(self) -> Verdict:
        bare, sensed = self._run("bare"), self._run("smp2")
        verdict = identity_check.compare(bare.report["guest_files"], sensed.report["guest_files"])
        verdict.merge(judge.sensor_ran(sensed))
        return verdict

    def memtest(self) -> Verdict:
        return judge.memtest(self._run("memtest"))

    def smp(self) -> Verdict:
        verdict = Verdict("1, 2 and 4 CPUs")
        for name in ("mix", "smp2", "smp4"):
            evidence = self._evidence(name)
            verdict.merge(judge.all_cpus(evidence.run, evidence))
            if name != "mix":  # which has witnesses of its own
                verdict.merge(judge.writes(evidence, 1))
                verdict.merge(judge.reads(evidence))
        return verdict

    def bios(self) -> Verdict:
        verdict = Verdict("started by GRUB on a BIOS machine")
        for name in ("bios1", "bios2"):
            evidence = self._evidence(name)
            verdict.merge(judge.all_cpus(evidence.run, evidence))
            verdict.merge(bios_check.check(evidence))
            verdict.merge(judge.writes(evidence, 1))
            verdict.merge(judge.reads(evidence))
        return verdict

    def control(self) -> Verdict:
        return control_check.check(self._evidence("control"))

    def held(self) -> Verdict:
        return self._held("held", queued=True)

    def held_plain(self) -> Verdict:
        return self._held("held_plain", queued=False)

    def _held(self, name: str, queued: bool) -> Verdict:
        evidence = self._evidence(name)
        verdict = held_check.check(evidence, queued)
        verdict.merge(judge.writes(evidence, 1))
        verdict.merge(judge.replay(evidence.run, self._build))
        return verdict

    def undo(self) -> Verdict:
        return undo_check.check(self._run("undo"), self._build, UNDONE)

    def alert(self) -> Verdict:
        return alert_check.check(self._run("alert"), self._build, ATTACKED)

    def hotplug(self) -> Verdict:
        evidence = self._evidence("hotplug")
        verdict = judge.all_cpus(evidence.run, evidence)
        verdict.merge(judge.startup_watched_again(evidence.run, 2))
        verdict.merge(judge.writes(evidence, 1))
        return verdict

    def fault(self) -> Verdict:
        run = self._run("fault")
        return fault_check.check(run, store.only_boot(run.store))

    def xen(self) -> Verdict:
        return judge.xen(self._evidence("xen"))

    def forms(self) -> Verdict:
        sensed = self._run("forms")
        verdict = forms_check.check(self._run("forms_bare"), sensed)
        verdict.merge(judge.sensor_ran(sensed))
        return verdict

    def nics(self) -> Verdict:
        verdict = nics_check.check(self._run("nic_e1000"))
        verdict.merge(nics_check.check(self._run("nic_virtio")))
        return verdict

    def prompt(self) -> Verdict:
        return prompt_check.check(self._evidence("prompt"))

    def clock(self) -> Verdict:
        return clock_check.check(self._evidence("clock"))

    def page(self) -> Verdict:
        return page_check.check(self._run("page"), self._build)

    def nested(self) -> Verdict:
        return reach_check.nested(self._run("reach"))

    def memory_access(self) -> Verdict:
        run, rows = self._memory("memory_touch")
        touched = memory_touch.Touched.parse(Path(run.report["guest_files"]["kinds"]).read_text(encoding="utf-8"))
        # Gaps of another mode's time say nothing of this one's.
        of_mode = memory_store.of_mode(rows, "access")
        verdict = memory_store.accounted(rows)
        verdict.differences("gaps while the mode ran", memory_store.gaps(of_mode))
        verdict.merge(memory_touch.check_kinds(of_mode, touched))
        return verdict

    def memory_shootdown(self) -> Verdict:
        run, rows = self._memory("memory_touch")
        hammered = memory_touch.Hammered.parse(Path(run.report["guest_files"]["hammer"]).read_text(encoding="utf-8"))
        # The mode's second time; in its first, and before, the same pages belonged to others.
        of_mode = memory_store.of_mode(rows, "access", time=1)
        verdict = memory_touch.check_shootdowns(of_mode, hammered, LEAST_CYCLES)
        verdict.differences("gaps while the mode ran", memory_store.gaps(of_mode))
        return verdict

    def memory_written(self) -> Verdict:
        run, rows = self._memory("memory_touch")
        blocks, verdict = store.read_content(run.store)
        touched = memory_touch.Touched.parse(Path(run.report["guest_files"]["fill"]).read_text(encoding="utf-8"))
        verdict.merge(memory_touch.check_patterns(memory_store.of_mode(rows, "written"), blocks, touched, TOUCH_SEED))
        return verdict

    def memory_survival(self) -> Verdict:
        return memory_survival.check(self._run("memory_survival"), self._build)

    def memory_budget(self) -> Verdict:
        return memory_survival.check_budget(self._run("memory_survival"))

    def memory_watch(self) -> Verdict:
        run = self._run("memory_watch")
        rows = memory_store.first_of_mode(store.only_boot(run.store), "watch")
        touched = memory_touch.Touched.parse(Path(run.report["guest_files"]["touched"]).read_text(encoding="utf-8"))
        return memory_watch.check(rows, touched, run.report["results"])

    def memory_snapshot(self) -> Verdict:
        run, rows = self._memory("memory_snapshot")
        verdict = memory_store.complete(rows)
        verdict.merge(memory_snapshot.check(run, self._build))
        return verdict

    def _memory(self, name: str) -> tuple[Run, list[memory_store.MemoryRow]]:
        run = self._run(name)
        return run, memory_store.read_rows(store.only_boot(run.store))

    def reach(self) -> Verdict:
        verdict = reach_check.check(self._run("reach"))
        verdict.merge(judge.complete(self._evidence("reach")))
        return verdict


WITNESSES = [name for name in vars(Judges) if not name.startswith("_")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "judge"])
    parser.add_argument("name", help=f"make: {', '.join(RUNS)}; judge: {', '.join(WITNESSES)}")
    parser.add_argument("--build", type=Path, default=rig.default_build())
    options = parser.parse_args()
    build, runs = Build(options.build.resolve()), options.build.resolve() / "witness"
    known = RUNS if options.action == "make" else WITNESSES
    if options.name not in known:
        parser.error(f"{options.name!r} is not one of {', '.join(known)}")
    try:
        if options.action == "make":
            make(options.name, build, runs / options.name)
            return 0
        witness: Callable[[], Verdict] = getattr(Judges(build, runs), options.name)
        verdict = witness()
    except (rig.RigError, BtfError, CollectorError, GdbError, ImageError, fault_check.FaultError, StoreError, TableError, TraceError, LogError,
            behaviour.BehaviourError, UndoError, OSError) as error:
        return rig.complain(error)
    print(verdict)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
