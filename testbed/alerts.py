# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Alerts that a detector has left in a store (docs/formats/alerts.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Alert:
    """How it stood last. Times are UTC, ns, by the sensor's clock, but `raised_ns` by the detector's."""

    message: str
    probability: float
    first_evidence_ns: int
    alert_ns: int
    raised_ns: int
    reasons: list[dict[str, Any]]
    response: dict[str, Any] | None
    source: int

    def reason_lines(self, most: int = 5) -> list[str]:
        lines = []
        for reason in self.reasons[:most]:
            value = "undefined" if reason["value"] is None else f"{reason['value']:.3g}"
            lines.append(f"{reason['feature']} = {value} over {reason['window_s']:g} s ({reason['log_odds']:+.2f} log-odds)")
        return lines


def read(store: Path) -> list[Alert]:
    """In the order in which they were raised."""
    last: dict[str, dict[str, Any]] = {}
    for path in sorted(store.glob("alerts/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # being written
            entry = json.loads(line)
            last[entry["undercroft"]["id"]] = entry
    found = [_alert(entry) for entry in last.values()]
    return sorted(found, key=lambda alert: alert.alert_ns)


def _alert(entry: dict[str, Any]) -> Alert:
    own = entry["undercroft"]
    return Alert(entry["message"], float(own["highest_probability"]), int(own["first_evidence_ns"]), int(own["alert_ns"]), int(own["raised_ns"]),
                 own["reasons"], own["response"], int(own["source"]))
