# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The sensor's clock against a time server whose time is wrong on purpose. QEMU's trace says by the host's clock when
the HBA took each command, the server says what time it told: the sum is what the record must say."""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.monitor import Monitor
from testbed.sntp import SntpServer

from .access import Verdict
from .judge import Evidence

TIME_UNSYNCHRONISED = 1 << 4  # docs/formats/record.md
OFFSET_S, JUMP_S = 3600.25, -7.5
SETTLES_S = 8.0  # a jump is believed when two answers agree; one question a second
NEAR_S = 0.1
LEAST = 10  # commands that must speak for each phase


def jumper(server: SntpServer) -> Callable[[str, Monitor], None]:
    """For the rig's on_stage: the server's clock jumps in the middle of the workload."""

    def on_stage(name: str, _: Monitor) -> None:
        if name == "clock-jumps":
            server.set_offset(OFFSET_S + JUMP_S)

    return on_stage


def keep(server: SntpServer, folder: Path) -> None:
    facts = {"answers": server.answers, "changes": server.changes}
    (folder / "sntp.json").write_text(json.dumps(facts), encoding="utf-8")


def offsets(evidence: Evidence) -> list[tuple[float, float, bool]]:
    """(host's time, seconds that the record is ahead of it, synchronised) of each command of the test disk."""
    return [(taken.host_s, stored.rows[0].time_ns / 1e9 - taken.host_s, not stored.rows[0].flags & TIME_UNSYNCHRONISED)
            for taken, stored in evidence.timed()]


def judge_phase(verdict: Verdict, name: str, found: Sequence[float], told: float) -> None:
    errors = sorted(abs(ahead - told) for ahead in found)
    verdict.require(len(errors) >= LEAST, f"{name}: {len(errors)} commands only")
    if errors:
        verdict.fact(f"{name}: {len(errors)} commands, {told:+.3f} s told, median error {errors[len(errors) // 2] * 1e3:.2f} ms, "
                     f"largest {errors[-1] * 1e3:.2f} ms")
        verdict.require(errors[-1] <= NEAR_S, f"{name}: a record is {errors[-1]:.3f} s away from the time that the server told")


def check(evidence: Evidence) -> Verdict:
    verdict = Verdict("the sensor's clock follows its time server")
    facts = json.loads((evidence.run.folder / "sntp.json").read_text(encoding="utf-8"))
    verdict.require(len(facts["changes"]) == 2, f"the server's clock jumped {len(facts['changes']) - 1} times")
    jumped = facts["changes"][-1][0]
    found = offsets(evidence)
    first = next((at for at, _, synchronised in found if synchronised), None)
    if first is None:
        verdict.problem("no record carries synchronised time")
        return verdict
    verdict.require(all(synchronised for at, _, synchronised in found if at > first), "synchronised, and then not any more")
    judge_phase(verdict, "before the jump", [ahead for at, ahead, _ in found if first <= at < jumped], OFFSET_S)
    judge_phase(verdict, "after it", [ahead for at, ahead, _ in found if at > jumped + SETTLES_S], OFFSET_S + JUMP_S)
    between = [ahead for at, ahead, _ in found if jumped <= at <= jumped + SETTLES_S]
    for ahead in between:
        near = min(abs(ahead - OFFSET_S), abs(ahead - OFFSET_S - JUMP_S))
        verdict.require(near <= NEAR_S, f"while the jump was new a record was {near:.3f} s away from both times")
    counters = evidence.boot.counters()
    steps, answers = counters.get("clock_steps", 0), counters.get("sntp_answers", 0)
    verdict.fact(f"the server answered {facts['answers']} times, the sensor took {answers}, stepped {steps} times, "
                 f"rejected {counters.get('sntp_rejected', 0)}")
    # Once at the start, once for the jump, and when it turns out how fast the TSC really is.
    verdict.require(2 <= steps <= 4, f"the clock was stepped {steps} times")
    verdict.require(answers <= facts["answers"], "more answers than the server gave")
    return verdict
