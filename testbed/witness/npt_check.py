# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The NPT of a run in QEMU against that machine (nested_check.py). The tables are read out of `pmemsave`'s file of the
sensor's memory; where registers lie is QEMU's to say (`info pci`, `info mtree`)."""
from __future__ import annotations

import re
from pathlib import Path

from testbed.monitor import Monitor

from . import nested_check, nics_check
from .access import Verdict
from .bios_check import parse_map
from .nested_check import Expected, Interval, Narrow, SensorLog
from .nested_tables import PAGE, Memory, Npt
from .rig import Run

HBA = "8086:2922"
_ECAM = re.compile(r"^ *([0-9a-f]{16})-([0-9a-f]{16}) .*pcie-mmcfg-mmio", re.MULTILINE)
# VMCB, APM volume 2, appendix B: intercept VMRUN, guest ASID, NP_ENABLE, N_CR3; in 64-bit words.
VMRUN_INTERCEPT, ASID, NESTED, NESTED_ROOT = 0x10 // 8, 0x58 // 8, 0x90 // 8, 0xB0 // 8


def save(folder: Path, monitor: Monitor) -> None:
    for name in ("info pci", "info mtree"):
        (folder / f"{name.replace(' ', '-')}.txt").write_text(monitor.human(name), encoding="utf-8")


def windows(info_pci: str, pci_id: str) -> list[Interval]:
    """Whole pages of a function's registers in memory."""
    found = nics_check.memory_windows(nics_check.card_of(info_pci, pci_id))
    return [(first & ~(PAGE - 1), (last | PAGE - 1) + 1) for first, last in found]


def vmcb_roots(memory: Memory) -> list[int]:
    """The nested root of each control block with nested paging, and nothing else that the same word would switch on: by single bits
    a table in the sensor's image was taken for one."""
    return [page[NESTED_ROOT] for _, page in memory.pages()
            if page[VMRUN_INTERCEPT] & 1 and page[ASID] & 0xFFFFFFFF == 1 and page[NESTED] == 1]


def check(run: Run, dump: Path, first: int) -> Verdict:
    """`dump`: the sensor's memory, which begins at `first`."""
    verdict = Verdict("NPT")
    log = SensorLog.read(run.folder / "machine" / "sensor.log")
    results = {entry["name"]: entry["value"] for entry in run.report["results"]}
    info = (run.folder / "info-pci.txt").read_text(encoding="utf-8")
    ecam = _ECAM.search((run.folder / "info-mtree.txt").read_text(encoding="utf-8"))
    card, hba = windows(info, nics_check.PCI_IDS[run.facts["setup"]["nic"]]), windows(info, HBA)
    if not ecam or not card or len(hba) != 1:
        verdict.problem(f"QEMU's machine is not as it should be: ECAM {ecam}, card {card}, HBA {hba}")
        return verdict
    expected = Expected(
        address_bits=int(results["address_bits"]), region=log.region, card=card, memory_map=parse_map(str(results["memory_map"])),
        narrow=[Narrow("HBA", *hba[0], {"running": "r--", "stepping": "rwx"})], guarded=[(int(ecam[1], 16), int(ecam[2], 16) + 1)])
    memory = Memory(dump, first)
    verdict.merge(nested_check.check("running machine", memory, Npt(expected.address_bits), log.roots, expected))
    roots = vmcb_roots(memory)
    cpus = int(run.facts["setup"]["cpus"])
    verdict.require(roots == [log.roots["running"]] * cpus, f"nested roots in VMCBs: {[hex(root) for root in roots]}")
    return verdict
