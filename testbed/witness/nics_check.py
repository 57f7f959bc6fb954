# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Another card than the usual one: everything arrives, and the guest finds no trace of the card. Where its registers
are is QEMU's to say (`info pci`)."""
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from testbed.monitor import Monitor

from . import judge
from .access import Verdict
from .rig import Run

SCAN_PAGES = 36
SETTINGS = {"SCAN_PAGES": str(SCAN_PAGES)}
ABSENT = 0xFFFFFFFF
PCI_IDS = {"e1000": "8086:100e", "e1000e": "8086:10d3", "virtio": "1af4:1000"}
_FUNCTION = re.compile(r"Bus +(\d+), device +(\d+), function (\d+):\n +[^\n]*: PCI device ([0-9a-f]{4}:[0-9a-f]{4})")
_MEMORY = re.compile(r"BAR\d: (?:32|64) bit (?:prefetchable )?memory at 0x([0-9a-f]+) \[0x([0-9a-f]+)\]")
_PORTS = re.compile(r"BAR\d: I/O at 0x([0-9a-f]+) \[0x([0-9a-f]+)\]")


def saver(folder: Path) -> Callable[[str, Monitor], None]:
    """For the rig's on_stage: what QEMU's machine looks like while the guest runs."""

    def on_stage(name: str, monitor: Monitor) -> None:
        if name == "workload":
            (folder / "info-pci.txt").write_text(monitor.human("info pci"), encoding="utf-8")

    return on_stage


def check(run: Run) -> Verdict:
    nic = run.facts["setup"]["nic"]
    verdict = Verdict(f"the sensor's card is an {nic}")
    evidence = judge.Evidence(run)
    verdict.merge(judge.writes(evidence, 50))
    verdict.merge(judge.reads(evidence))
    files = {name: Path(run.report["guest_files"][name]).read_text() for name in ("pci", "interfaces", "windows")}
    verdict.require(files["interfaces"].split() == ["lo"], f"Linux has interfaces {files['interfaces'].split()}")
    seen = [line.split() for line in files["pci"].splitlines()]
    verdict.require(len(seen) >= 3, f"Linux sees {len(seen)} PCI functions only")
    verdict.require(not any(kind == "0x020000" for *_, kind in seen), "Linux sees an Ethernet function")
    _check_windows(verdict, (run.folder / "info-pci.txt").read_text(encoding="utf-8"), PCI_IDS[nic], files["windows"])
    return verdict


def card_of(text: str, pci_id: str) -> str:
    """The card's part of `info pci`."""
    found = list(_FUNCTION.finditer(text))
    for index, match in enumerate(found):
        if match[4] == pci_id:
            return text[match.start() : found[index + 1].start() if index + 1 < len(found) else len(text)]
    return ""


def memory_windows(card: str) -> list[tuple[int, int]]:
    """First and last address of each window in memory."""
    return [(int(first, 16), int(last, 16)) for first, last in _MEMORY.findall(card)]


def _check_windows(verdict: Verdict, info: str, pci_id: str, scan: str) -> None:
    card = card_of(info, pci_id)
    memory = memory_windows(card)
    verdict.require(bool(memory), f"QEMU shows no card {pci_id} with registers")
    verdict.require(all(int(first, 16) in (0xFFFFFFFF, 0xFFFF) or int(last, 16) < int(first, 16) for first, last in _PORTS.findall(card)),
                    f"the card answers to ports: {_PORTS.findall(card)}")
    read = {int(address): int(value, 16) for address, value in (line.split() for line in scan.splitlines())}
    for first, last in memory:
        pages = [page for page in range(first & ~4095, last + 1, 4096) if page in read]
        verdict.require(bool(pages), f"the guest did not look at {first:#x}")
        shown = [page for page in pages if read[page] != ABSENT]
        verdict.require(not shown, f"registers of the card can be read at {shown[:1] and hex(shown[0])}")
        verdict.fact(f"registers at {first:#x}: {len(pages)} pages looked at")
    others = [page for page, value in read.items() if value not in (0, ABSENT)]
    verdict.require(bool(others), "the guest could read no register at all: the look says nothing")
