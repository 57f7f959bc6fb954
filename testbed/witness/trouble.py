# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What is said of a run that could not be made: the ends of all logs, and the cause in the last lines."""
from __future__ import annotations

import shutil
import signal
import traceback
from pathlib import Path

from testbed.collector import STOP_SECONDS
from testbed.run import Outcome

LOGS = ("machine/console.log", "machine/sensor.log", "machine/qemu.log", "machine/bochs.out")
TAIL_BYTES = 1500
LITTLE_SPACE = 1 << 30  # a run leaves some hundred MiB


def told(folder: Path, cause: str) -> str:
    """`folder`: the run's, as far as it came."""
    logs = [folder / name for name in LOGS] + sorted(folder.glob("collector-*.log"))
    parts = [f"--- end of {path}\n{_end(path)}" for path in logs if path.is_file()]
    free = shutil.disk_usage(folder).free
    note = f" (only {free >> 20} MiB are free on the disk of {folder})" if free < LITTLE_SPACE else ""
    return "\n".join(["", *parts, f"--- cause\n{cause}{note}"])


def told_of(folder: Path, error: Exception) -> str:
    """`error` came up while the run was being made."""
    return told(folder, f"{''.join(traceback.format_exception(error))}{type(error).__name__}: {error}")


def machine_ended(outcome: Outcome, timeout_s: float) -> str:
    """How a machine ended that was to end otherwise."""
    how = {"timeout": f"had not ended after {timeout_s:g} s"}.get(outcome.state, outcome.state)
    reasons = [outcome.error, f"the emulator says {outcome.shutdown!r}" if outcome.shutdown else "the emulator says nothing of a shutdown",
               f"its exit code is {outcome.qemu_exit}"]
    reasons += [f"{entry['name']}: {entry['value']}" for entry in outcome.results if entry["name"] in ("error", "unreadable")]
    said = [f"stage {outcome.stages[-1].get('stage')}" if outcome.stages else "no stage"]
    said += [f"result {outcome.results[-1].get('name')}"] if outcome.results else []
    return f"the machine {how} ({'; '.join(reason for reason in reasons if reason)}); the guest's last words: {', '.join(said)}"


def collector_ended(code: int) -> str:
    """How a collector ended that did not end well."""
    if code == -signal.SIGKILL:
        return f"the collector had not stored what it had {STOP_SECONDS:g} s after SIGTERM, and was killed"
    how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with {code}"
    return f"the collector ended {how}; its log is above"


def _end(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").strip()
