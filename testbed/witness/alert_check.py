# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A guest under attack: the collector's detector raises an alert soon after the evidence came, and writes are held until they are released."""
from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from testbed import alerts
from testbed.behaviour import host

from . import held_check, prompt_check, store
from .access import Verdict
from .rig import Build, Run

MODEL = Path(__file__).resolve().parents[2] / "models/default.json"
ALERT_S = 1.0  # from the last record of the deciding window reaching the collector
HOLD_S = 1.0  # from the alert to the collector's order having been done
GRACE_S = 1.0  # the HBA ends what it was told of before
HELD_S = 5.0
POLL_S = 0.05
LEAST_ENCRYPTED = 20


class Releaser:
    """Waits for the alert's response, looks twice at what QEMU has written to the disk, and lets the guest go on."""

    def __init__(self, build: Build, folder: Path, control: Path) -> None:
        self._build, self._folder, self._control = build, folder, control
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releaser")

    def __enter__(self) -> Releaser:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            found = alerts.read(self._folder / "store")
            if found and found[0].response:
                return self._release()

    def _release(self) -> None:
        time.sleep(GRACE_S)
        before = self._written()
        time.sleep(HELD_S)
        seen = {"held": [before, self._written()], "released_ns": time.time_ns()}
        held_check.command(self._build, self._control, "release-writes")
        (self._folder / "alert.json").write_text(json.dumps(seen), encoding="utf-8")

    def _written(self) -> int:
        return (self._folder / "machine" / "disk0.writes").stat().st_size


def check(run: Run, build: Build, wish: host.Wish) -> Verdict:
    verdict = Verdict("an attack is noticed and its writes are held")
    path = run.folder / "alert.json"
    found = [alert for alert in alerts.read(run.store) if alert.source == _source()]
    verdict.require(path.is_file() and bool(found), "no alert, or no response to it")
    if not verdict.ok:
        return verdict
    alert, seen = found[0], json.loads(path.read_text(encoding="utf-8"))
    assert alert.response
    verdict.fact(f"{alert.message}; {'; '.join(alert.reason_lines(3))}")
    evidence_s = _evidence_came(run, alert.alert_ns)
    delay, order = alert.raised_ns / 1e9 - evidence_s, (alert.response["at_ns"] - alert.raised_ns) / 1e9
    verdict.fact(f"the alert was written {delay:.3f} s after the last record of its window had come; the hold was done {order:.3f} s later")
    verdict.require(0 <= delay <= ALERT_S, f"the alert came {delay:.3f} s after the evidence")
    verdict.require(alert.response["result"] == "done" and order <= HOLD_S, f"response: {alert.response}")
    verdict.require(seen["held"][0] == seen["held"][1], f"written while writes were held: {seen['held'][1] - seen['held'][0]} bytes of QEMU's log")
    _check_files(verdict, run, build, wish, alert)
    return verdict


def _check_files(verdict: Verdict, run: Run, build: Build, wish: host.Wish, alert: alerts.Alert) -> None:
    """What was lost before the hold; that the attack went on after the release, so that it was the hold that had stopped it."""
    report: dict[str, Any] = json.loads(Path(run.report["guest_files"]["behaviour.json"]).read_text(encoding="utf-8"))
    verdict.require(report["error"] is None, f"the workload failed: {report['error']}")
    labels: dict[str, Any] = host.labels(build.undercroft, run.store, report, host.documents(wish.file_system, wish.seed, wish.files).manifest)
    times = sorted(entry["first_write_ns"] for entry in labels["files"])
    held_from, held_until = _longest_pause(run, alert.alert_ns)
    lost = sum(at <= held_from for at in times)
    verdict.fact(f"alert {(alert.alert_ns - times[0]) / 1e9:.1f} s after the first encrypted write; {lost} of {labels['corpus_files']} files "
                 f"({lost / labels['corpus_files']:.2%}) encrypted before the hold, {len(times)} in the end; no write for {(held_until - held_from) / 1e9:.1f} s")
    verdict.require(len(times) >= LEAST_ENCRYPTED and times[0] < alert.alert_ns, f"{len(times)} files were encrypted, the first after the alert")
    verdict.require((held_until - held_from) / 1e9 >= HELD_S, "the store has no such pause in the writes")
    verdict.require(any(at > held_until for at in times), "nothing was encrypted after the release: that nothing was before shows nothing")


def _evidence_came(run: Run, alert_ns: int) -> float:
    """When the last record before the window's end reached the collector, by the host's clock."""
    first = prompt_check.covered(json.loads((run.folder / "arrivals.json").read_text(encoding="utf-8")))
    return max(first[row.seq] for row in store.only_boot(run.store).rows() if row.source == _source() and row.time_ns < alert_ns)


def _longest_pause(run: Run, after_ns: int) -> tuple[int, int]:
    times = sorted(row.time_ns for row in store.only_boot(run.store).rows() if row.source == _source() and row.kind == "write")
    pauses = [(later - earlier, earlier, later) for earlier, later in zip(times, times[1:]) if later > after_ns]
    _, begin, end = max(pauses, default=(0, 0, 0))
    return begin, end


def _source() -> int:
    controller, port = host.SOURCE.split(":")
    return int(controller) << 8 | int(port)
