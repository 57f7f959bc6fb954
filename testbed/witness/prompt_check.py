# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""How long a record stays in the sensor: from the HBA taking the command (QEMU's trace, the host's clock) to the first
datagram that covers the record passing the proxy. Datagram headers name their records in the clear."""
from __future__ import annotations

import json
import struct

from .access import WRITE, Verdict
from .judge import Evidence

BOUND_S = 0.100
HOST_S = 1.0  # an emulator whose host has other things to do
LATE_SHARE = 0.05  # of the commands, for the same reason
LEAST = 40
DATA = 2
_HEADER = struct.Struct("<4sBBH16s16sQQQII")


def covered(arrivals: list[tuple[float, str]]) -> dict[int, float]:
    """Sequence number of a record -> when the first datagram with it came."""
    first: dict[int, float] = {}
    for when, header in arrivals:
        _, _, kind, _, _, _, _, _, sequence, count, _ = _HEADER.unpack(bytes.fromhex(header)[: _HEADER.size])
        if kind == DATA:
            for number in range(sequence, sequence + count):
                first.setdefault(number, when)
    return first


def check(evidence: Evidence) -> Verdict:
    verdict = Verdict("records leave within 100 ms, from an idle guest and from a busy one")
    first = covered(json.loads((evidence.run.folder / "arrivals.json").read_text(encoding="utf-8")))
    last = [(taken, stored.rows[-1].seq) for taken, stored in evidence.timed()]
    verdict.differences("records that no datagram carried", [str(seq) for _, seq in last if seq not in first])
    delays = sorted(first[seq] - taken.host_s for taken, seq in last if seq in first and taken.access.kind == WRITE)
    verdict.require(len(delays) >= LEAST, f"{len(delays)} writes only")
    if delays:
        late = [delay for delay in delays if delay > BOUND_S]
        verdict.fact(f"{len(delays)} writes: median {delays[len(delays) // 2] * 1e3:.1f} ms, largest {delays[-1] * 1e3:.1f} ms, "
                     f"{len(late)} above {BOUND_S * 1e3:.0f} ms")
        verdict.require(len(late) <= LATE_SHARE * len(delays), f"{len(late)} of {len(delays)} records left later than {BOUND_S} s")
        verdict.require(delays[-1] <= HOST_S, f"a record stayed for {delays[-1]:.3f} s")
    return verdict
