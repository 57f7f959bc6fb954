# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Captured commands against QEMU's trace of the same run.

 - Reads: the store's reads of the test disk equal, one for one and in order of issue, the reads that the block
   layer was asked for (offset and length) from the moment of the first VMRUN on. Before it there was no sensor.
 - Writes: the same (their contents are the business of compare_writes).
 - Order: reads, writes, flushes and trims of the disk, in one sequence, equal the command FISes that the HBA took.
"""
from __future__ import annotations

from collections.abc import Sequence

from .access import FLUSH, READ, TRIM, WRITE, Access, Verdict, compare_multisets, compare_sequences
from .qemu_trace import Trace
from .store import Command


def compare_block_layer(kind: str, captured: Sequence[Access], traced: Sequence[Access]) -> Verdict:
    """`captured` and `traced` without content, in sequence order and order of issue."""
    verdict = Verdict(f"{kind}s against the block layer's trace")
    verdict.fact(f"store: {len(captured)} of {sum(access.bytes for access in captured)} bytes; "
                 f"trace: {len(traced)} of {sum(access.bytes for access in traced)} bytes")
    verdict.require(len(traced) > 0, f"the trace has no {kind}s: the comparison would say nothing")
    compare_multisets(verdict, "the store", captured, "the trace", traced)
    if verdict.ok:
        compare_sequences(verdict, "the store", captured, "the trace", traced)
    return verdict


def compare_order(commands: Sequence[Command], trace: Trace, port: int) -> Verdict:
    """The store's commands of one port against the FISes that the HBA took on it, in one sequence."""
    verdict = Verdict("order of all commands against the HBA's trace")
    stored = [_without_content(command) for command in commands]
    taken = [command.access for command in trace.of_port(port) if command.access and command.seen_by_sensor]
    counts = {kind: sum(access.kind == kind for access in taken) for kind in (READ, WRITE, FLUSH, TRIM)}
    verdict.fact("HBA took " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    trims = sum(access.kind == TRIM for access in stored)
    verdict.fact(f"the store marks {trims} trim requests for {counts[TRIM]} DATA SET MANAGEMENT commands")
    compare_sequences(verdict, "the store", _trims_joined(stored), "the HBA", _trims_joined(taken))
    return verdict


def _trims_joined(accesses: Sequence[Access]) -> list[Access]:
    """Trims that follow each other become one: the FIS does not say how many ranges the command's data names.
    Their number, order and extent are compared with blklogwrites."""
    return [access for before, access in zip([None, *accesses], accesses)
            if access.kind != TRIM or before is None or before.kind != TRIM]


def _without_content(command: Command) -> Access:
    return Access(TRIM, 0, 0) if command.kind == TRIM else command.accesses(with_content=False)[0]
