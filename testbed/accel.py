# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Chooses between KVM and TCG. A present /dev/kvm proves nothing: the probe boots the real guest with it.

KVM is taken only if Debian's kernel reaches userspace under it in good time and sees the svm flag there, so that a
hypervisor of ours can be nested. The answer is kept until the machine is rebooted or QEMU changes.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import cache

PROBE_SECONDS = 30.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Choice:
    accelerator: str
    reason: str


def choose(wish: str) -> Choice:
    """`wish` is auto, tcg or kvm."""
    if wish != "auto":
        return Choice(wish, "asked for")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Choice("tcg", "/dev/kvm is not usable")
    if not nested_svm_offered():
        return Choice("tcg", "/dev/kvm exists, but this host does not offer nested SVM")
    return _remembered_probe()


def nested_svm_offered() -> bool:
    """Whether KVM on this host claims that guests may use SVM."""
    parameter = Path("/sys/module/kvm_amd/parameters/nested")
    try:
        return parameter.read_text(encoding="ascii").strip() in ("1", "Y")
    except OSError:
        return False


def _remembered_probe() -> Choice:
    from .session import qemu_version

    record = cache.root() / "testbed" / f"accel-{cache.key(BOOT_ID.read_text(encoding='ascii'), qemu_version())}.json"
    if record.is_file():
        facts = json.loads(record.read_text(encoding="utf-8"))
        return Choice(facts["accelerator"], facts["reason"])
    choice = probe()
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"accelerator": choice.accelerator, "reason": choice.reason}), encoding="utf-8")
    return choice


def probe() -> Choice:
    """Boots the guest under KVM for real."""
    from .request import Request
    from .session import Session

    with tempfile.TemporaryDirectory(prefix="undercroft-probe-") as folder:
        begin = time.monotonic()
        outcome = Session(Request(Path(folder), workload="probe", accelerator="kvm", timeout=PROBE_SECONDS)).run()
        seconds = time.monotonic() - begin
    if outcome.state != "finished":
        return Choice("tcg", f"/dev/kvm exists, but a guest under it ended as {outcome.state} after {seconds:.0f} s")
    if outcome.result("svm") is not True:
        return Choice("tcg", "KVM works, but its guests see no svm flag")
    return Choice("kvm", f"a guest booted under KVM in {seconds:.0f} s and sees svm")
