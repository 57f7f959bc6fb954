# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the store knows of `ucctl stop` and `ucctl start`, and what ucctl says of the sensor (workloads/control.sh)."""
from __future__ import annotations

import json
from typing import Any

from . import store
from .access import WRITE, Verdict
from .judge import Evidence

OFF, ON = "capture_off", "capture_on"
BLOCK_SECTORS = 8
BEFORE, BETWEEN, AFTER = ({start + at for at in range(count)} for start, count in ((0, 50), (1024, 50), (2048, 50)))
MOST_CLOCK_EXITS_PER_S = 1


def switching(rows: list[store.Row]) -> Verdict:
    """One row for each switch that switched something, and writes missing between them only."""
    verdict = Verdict("the store knows when capture was off")
    marks = [row for row in rows if row.kind in (OFF, ON)]
    verdict.require([row.kind for row in marks] == [OFF, ON], f"switched: {[row.kind for row in marks]}")
    if not verdict.ok:
        return verdict
    off, on = marks
    verdict.require(off.time_ns < on.time_ns, "capture came on before it went off")
    verdict.require(not (off.length or off.address or off.source or on.length or on.address or on.source), "a mark that says more than its kind")
    blocks = {row.address // BLOCK_SECTORS: row for row in rows if row.kind == WRITE and row.source & 0xFF == 1}
    verdict.require(BEFORE <= blocks.keys() and AFTER <= blocks.keys(), "writes are missing while capture was on")
    verdict.require(not BETWEEN & blocks.keys(), "writes were recorded while capture was off")
    verdict.require(all(blocks[at].seq < off.seq for at in BEFORE), "a write before the switch comes after it")
    verdict.require(all(blocks[at].seq > on.seq for at in AFTER), "a write after the switch comes before it")
    return verdict


def said(results: dict[str, Any]) -> Verdict:
    verdict = Verdict("what ucctl says")
    status = results["status_on"]
    used = [results[name]["buffer_used"] for name in ("stopped", "started")]  # the mark itself waits there to be sent
    verdict.require(all(32 <= bytes_used <= status["buffer_bytes"] for bytes_used in used), f"buffer used: {used} of {status['buffer_bytes']}")
    verdict.require(0 <= status["time_utc_ns"] - status["last_ack_utc_ns"] < 5 * 10**9, "the last acknowledgement is not of these seconds")
    states = [results[name]["capturing"] for name in ("status_on", "stopped", "started")]
    verdict.require(states == [True, False, True], f"capturing: {states}")
    return verdict


def refusals(results: dict[str, Any]) -> Verdict:
    """Each hypercall that ended in #UD is counted once."""
    verdict = Verdict("refused requests")
    before, after = ({name: int(results[key].get(name, 0)) for name in ("exits_hypercall", "hypercalls_refused")} for key in ("refused_before", "refused_after"))
    calls = after["exits_hypercall"] - before["exits_hypercall"]
    refused = after["hypercalls_refused"] - before["hypercalls_refused"]
    verdict.fact(f"{refused} of {calls} hypercalls refused")
    verdict.require(results["exit_status_other_key"] == 3, f"ucctl with another key ended with {results['exit_status_other_key']}")
    verdict.require(1 <= refused == calls - 2, f"{refused} of {calls} hypercalls counted as refused")  # `counters` is a hello and a request
    return verdict


def idle(results: dict[str, Any]) -> Verdict:
    """Ports 70h and 71h are watched for ever: that must cost an idle system nothing."""
    verdict = Verdict("port exits of an idle system")
    before, after = (int(results[key].get("exits_io", 0)) for key in ("counters_before_idle", "counters_after_idle"))
    verdict.fact(f"{after - before} port exits in 5 s")
    verdict.require(after - before <= 5 * MOST_CLOCK_EXITS_PER_S, f"{after - before} port exits in 5 s")
    return verdict


def check(evidence: Evidence) -> Verdict:
    verdict = Verdict("control by ucctl")
    results = {entry["name"]: entry["value"] for entry in evidence.run.report["results"]}
    results = {name: json.loads(value) if isinstance(value, str) and value.startswith("{") else value for name, value in results.items()}
    verdict.merge(store.check_sequence(evidence.rows))
    verdict.merge(evidence.grouping)
    verdict.require(not any(row.kind == store.GAP for row in evidence.rows), "the store has gaps")
    verdict.merge(switching(evidence.rows))
    for part in (said, refusals, idle):
        verdict.merge(part(results))
    counters = evidence.boot.counters()
    verdict.require((counters.get("capture_switched_off"), counters.get("capture_switched_on")) == (1, 1), f"counters: {counters}")
    return verdict
