# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What each witness says of a recorded run (rig.py)."""
from __future__ import annotations

import re
from collections.abc import Sequence

from testbed.monitor import EFER_SVME

from . import compare_writes, gap_check, qemu_trace, read_trace, replay_check, store
from .access import FLUSH, READ, TRIM, WRITE, Access, Verdict
from .blklogwrites import Log
from .rig import Build, Run


class Evidence:
    """A run's store and QEMU's accounts of it, read once. `source` is the test disk's."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.boot = store.only_boot(run.store)
        self.rows = self.boot.rows()
        self.commands, self.grouping = store.group(self.rows)
        self.source = _source_of_port(self.rows, run.disk_port)
        self.of_disk = [command for command in self.commands if command.source == self.source]
        self.trace = run.trace()
        self.log = Log(run.write_log)
        self.logged = compare_writes.accesses_of_log(self.log)

    def captured(self, *kinds: str, with_content: bool = True) -> list[Access]:
        return [access for command in self.of_disk if command.kind in kinds for access in command.accesses(with_content)]

    def taken(self) -> list[tuple[int, Access]]:
        """Commands that the HBA took on any port since the first VMRUN, of which there must be records."""
        return [(command.port, command.access) for command in self.trace.commands if command.access and command.seen_by_sensor]

    def timed(self) -> list[tuple[qemu_trace.HbaCommand, store.Command]]:
        """The test disk's commands: as the HBA took them, with the host's time, and as the store has them."""
        taken = [command for command in self.trace.of_port(self.run.disk_port) if command.access and command.seen_by_sensor]
        if len(taken) != len(self.of_disk):
            raise ValueError(f"{len(taken)} commands in the trace, {len(self.of_disk)} in the store")
        return list(zip(taken, self.of_disk))

    def expected_records(self) -> int:
        """Trims count by the ranges that blklogwrites logged."""
        ranges = sum(access.kind == TRIM for access in self.logged)
        return ranges + sum(access.records() for _, access in self.taken() if access.kind != TRIM)


def _source_of_port(rows: Sequence[store.Row], port: int) -> int:
    """controller << 8 | port; which number the controller has is the sensor's choice."""
    sources = {row.source for row in rows if qemu_trace.same_port(row.source, port) and row.kind != store.GAP}
    if len(sources) > 1:
        raise store.StoreError(f"records of port {port} come from several controllers: {sorted(sources)}")
    return sources.pop() if sources else port


def judged_by_qemu(evidence: Evidence) -> Verdict:
    """That QEMU's own accounts agree with each other; else they could not judge anybody."""
    verdict = Verdict("QEMU's accounts agree")
    trace, image = evidence.trace, evidence.run.final_image
    verdict.require(trace.first_vmrun_seen, "no VMRUN was executed: the sensor did not run")
    verdict.require(evidence.log.unflushed_bytes() == 0, "blklogwrites has entries that no flush followed")
    for kind in (READ, WRITE):
        fises = [command.access for command in trace.of_port(evidence.run.disk_port) if command.access and command.access.kind == kind]
        read_trace.compare_sequences(verdict, "HBA", fises, "block layer", trace.block_requests(image, kind, False))
    logged = [Access(WRITE, access.lba, access.bytes) for access in evidence.logged if access.kind == WRITE]
    read_trace.compare_multisets(verdict, "blklogwrites", logged, "block layer", trace.block_requests(image, WRITE, False))
    return verdict


def complete(evidence: Evidence) -> Verdict:
    """Exactly once, no gaps, and as many records as the HBA was given work for."""
    verdict = Verdict("complete and exactly once")
    verdict.merge(store.check_sequence(evidence.rows, 0, evidence.expected_records()))
    verdict.require(not any(row.kind == store.GAP for row in evidence.rows), "the store has gaps")
    verdict.merge(evidence.grouping)
    return verdict


def writes(evidence: Evidence, at_least: int) -> Verdict:
    """Witness 1."""
    verdict = Verdict("every write, with its bytes")
    verdict.merge(judged_by_qemu(evidence))
    verdict.merge(complete(evidence))
    captured = evidence.captured(WRITE, FLUSH, TRIM)
    verdict.merge(compare_writes.compare(captured, evidence.logged))
    blocks, content = store.read_content(evidence.run.store)
    verdict.merge(content)
    verdict.merge(store.check_content(evidence.rows, blocks))
    verdict.merge(store.check_headers_only(evidence.commands))
    count = sum(access.kind == WRITE for access in captured)
    verdict.require(count >= at_least, f"the workload made {count} writes only, {at_least} were asked for")
    return verdict


def replay(run: Run, build: Build) -> Verdict:
    """Witness 2."""
    out = run.folder / "replayed.raw"
    verdict = replay_check.check(build.undercroft, run.store, run.base_image, run.final_image, out)
    if verdict.ok:
        out.unlink()
    return verdict


def reads(evidence: Evidence) -> Verdict:
    """Witness 3."""
    verdict = Verdict("every read, and the order of everything")
    verdict.merge(judged_by_qemu(evidence))
    for kind in (READ, WRITE):
        traced = evidence.trace.block_requests(evidence.run.final_image, kind, True)
        verdict.merge(read_trace.compare_block_layer(kind, evidence.captured(kind, with_content=False), traced))
    for port in sorted({command.port for command in evidence.trace.commands}):
        commands = [command for command in evidence.commands if qemu_trace.same_port(command.source, port)]
        verdict.merge(read_trace.compare_order(commands, evidence.trace, port))
    return verdict


def pio(evidence: Evidence, at_least: int) -> Verdict:
    """Witnesses 1 and 3 for a disk that is driven by PIO: a write reaches the disk, and so the store and QEMU's logs, in
    blocks of as many sectors as the drive takes at once, not in whole commands."""
    verdict = Verdict("every access by PIO, with its bytes")
    run, trace = evidence.run, evidence.trace
    verdict.require(trace.first_vmrun_seen, "no VMRUN was executed: the sensor did not run")
    verdict.require(not any(row.kind == store.GAP for row in evidence.rows), "the store has gaps")
    verdict.merge(store.check_sequence(evidence.rows, 0, len(evidence.rows)))
    verdict.merge(compare_writes.compare(evidence.captured(WRITE, FLUSH, TRIM), evidence.logged))
    writes_below = trace.block_requests(run.final_image, WRITE, True)
    verdict.merge(read_trace.compare_block_layer(WRITE, evidence.captured(WRITE, with_content=False), writes_below))
    commands = [command for command in trace.of_port(run.disk_port) if command.seen_by_sensor and command.access]
    reads_asked = [command.access for command in commands if command.access and command.access.kind == READ]
    verdict.fact(f"{len(reads_asked)} read commands")
    read_trace.compare_sequences(verdict, "the store", evidence.captured(READ, with_content=False), "the channel", reads_asked)
    blocks, content = store.read_content(run.store)
    verdict.merge(content)
    verdict.merge(store.check_content(evidence.rows, blocks))
    opcodes = {command.opcode for command in commands}
    status = [entry["value"] for entry in run.report.get("results", []) if entry["name"] == "exit_status"]
    verdict.require(status == [0], f"the workload ended with {status}")
    verdict.fact(f"opcodes: {', '.join(map(hex, sorted(opcodes)))}")
    verdict.require(bool(opcodes & qemu_trace.PIO_WRITES), "no write by PIO was made")
    verdict.require(sum(access.kind == WRITE for access in evidence.logged) >= at_least, "too few writes to show anything")
    return verdict


def survived_faults(evidence: Evidence, kills: int, rate: float) -> Verdict:
    """Witness 4. The faults must really have happened."""
    verdict = Verdict("complete and exactly once over a bad network and a dying collector")
    facts = evidence.run.facts
    for direction, counts in facts["proxy"].items():
        verdict.fact(f"{direction}: {counts}")
        for fault in ("dropped", "duplicated", "overtaken"):
            got = counts[fault] / max(1, counts["received"])
            # An overtaken datagram needs another close behind it, so held ones do not all count.
            wanted = rate * (0.1 if fault == "overtaken" else 0.6)
            verdict.require(got >= wanted, f"{direction}: only {got:.1%} {fault}")
    verdict.require(len(facts["kills"]) == kills, f"the collector was killed {len(facts['kills'])} times, wanted {kills}")
    verdict.require(not facts["killer_error"], str(facts["killer_error"]))
    resent = evidence.boot.counters().get("datagrams_resent", 0)
    verdict.fact(f"the sensor resent {resent} datagrams")
    verdict.require(resent > 0, "nothing was resent: the faults cannot have hit")
    verdict.merge(writes(evidence, 1))
    verdict.merge(reads(evidence))
    return verdict


def gaps(evidence: Evidence, wanted: bool) -> Verdict:
    """Witness 5: with a tiny buffer, policy drop (`wanted`) or hold."""
    verdict = Verdict(f"a tiny buffer with policy {evidence.run.facts['setup']['policy']}")
    verdict.merge(judged_by_qemu(evidence))
    taken = evidence.taken()
    if not gap_check.no_trims(taken):
        verdict.problem("the workload trims; gaps cannot be judged to one record then")
        return verdict
    verdict.merge(gap_check.compare(evidence.rows, gap_check.expected_records(taken)))
    verdict.merge(gap_check.compare_content(evidence.rows, evidence.log, evidence.source))
    lost = sum(row.length for row in evidence.rows if row.kind == store.GAP)
    counters = evidence.boot.counters()
    verdict.fact(f"sensor's counters: dropped {counters.get('records_dropped')}, hold waits {counters.get('hold_waits')}")
    if wanted:
        verdict.require(lost > 0, "nothing was lost: the buffer was not tiny enough to show anything")
        verdict.require(any(row.kind != store.GAP for row in evidence.rows), "nothing was stored")
        return verdict
    verdict.require(counters.get("hold_waits", 0) > 0, "nobody ever waited: the buffer was not tiny enough to show anything")
    verdict.merge(complete(evidence))
    verdict.merge(compare_writes.compare(evidence.captured(WRITE, FLUSH, TRIM), evidence.logged))
    return verdict


def all_cpus(run: Run, evidence: Evidence | None) -> Verdict:
    """Each CPU runs beneath the sensor (EFER.SVME by QEMU's monitor) and Linux uses all of them."""
    cpus = int(run.facts["setup"]["cpus"])
    verdict = Verdict(f"{cpus} CPUs")
    report = run.report
    for moment in ("efer_at_workload", "efer_at_end"):
        values = [int(value, 16) for value in report.get(moment, [])]
        verdict.fact(f"{moment}: {', '.join(map(hex, values))}")
        verdict.require(len(values) == cpus and all(value & EFER_SVME for value in values), f"{moment}: not {cpus} CPUs with SVME")
    online = [entry["value"] for entry in report.get("results", []) if entry["name"] == "cpus_online"]
    verdict.require(cpus == 1 or online[-1:] == [f"0-{cpus - 1}"], f"Linux has CPUs {online} online, expected 0-{cpus - 1}")
    if evidence:
        controlled = evidence.boot.counters().get("cpus_controlled")
        verdict.require(controlled == cpus, f"the sensor says it controls {controlled} CPUs")
    return verdict


def startup_watched_again(run: Run, times: int) -> Verdict:
    """The sensor says that the local APIC was watched for each CPU start, and let go again afterwards."""
    verdict = Verdict("CPU starts were announced")
    log = (run.folder / "machine" / "sensor.log").read_text(errors="replace")
    again, ended = log.count("the local APIC is watched again"), log.count("the local APIC is no longer watched")
    verdict.require(again == times, f"the watch began again {again} times, expected {times}")
    verdict.require(ended == times + 1, f"the watch ended {ended} times, expected {times + 1}")
    return verdict


def sensor_ran(run: Run) -> Verdict:
    verdict = Verdict("the sensor ran")
    verdict.require(qemu_trace.FIRST_VMRUN in run.qemu_log.read_text(errors="replace"), "no VMRUN was executed")
    return verdict


def xen(evidence: Evidence) -> Verdict:
    """Witness 7, the other kernel: Xen started both CPUs, its first domain came up, used the disk and powered off."""
    verdict = Verdict("Xen beneath the sensor")
    report = evidence.run.report
    kind = [entry["value"] for entry in report["results"] if entry["name"] == "hypervisor"]
    verdict.require(kind == ["xen"], f"Linux says that it runs on {kind}")
    console = (evidence.run.folder / "machine" / "console.log").read_text(errors="replace")
    verdict.require(re.search(r"Brought up 2 CPUs", console) is not None, "Xen did not bring up 2 CPUs")
    controlled = evidence.boot.counters().get("cpus_controlled")
    verdict.require(controlled == 2, f"the sensor says it controls {controlled} CPUs")
    verdict.merge(writes(evidence, 20 + 100))
    verdict.merge(reads(evidence))
    return verdict


def memtest(run: Run) -> Verdict:
    """Witness 7, the part that is not Linux: memtest86+ found all CPUs, got on, and found memory to be memory."""
    cpus = int(run.facts["setup"]["cpus"])
    verdict = Verdict("memtest86+ beneath the sensor")
    verdict.merge(sensor_ran(run))
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", (run.folder / "machine" / "console.log").read_text(errors="replace"))
    found = re.findall(r"CPU: \d+ Cores? +(\d+) Threads? +SMP: (\d+)T", screen)
    verdict.require((str(cpus), str(cpus)) in found, f"memtest86+ shows {found[-1:] or 'no'} CPUs, expected {cpus}")
    tests = sorted({int(number) for number in re.findall(r"#(\d+) +\[", screen)})
    verdict.fact(f"tests begun: {tests}")
    verdict.require(len(tests) >= 2, "it did not get beyond its first test")
    errors = {int(number) for number in re.findall(r"Errors: +(\d+)", screen)}
    verdict.require(errors == {0}, f"errors shown: {sorted(errors)}")
    efer = [int(value) for value in run.facts["efer_at_end"]]
    verdict.fact(f"EFER at the end: {', '.join(map(hex, efer))}")
    verdict.require(len(efer) == cpus and all(value & EFER_SVME for value in efer), f"not {cpus} CPUs with SVME")
    return verdict
