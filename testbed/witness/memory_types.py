# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the MTRRs say of physical addresses: Intel SDM volume 3A, "Memory Type Range Registers (MTRRs)". A second
implementation beside the sensor's, by the ranges' bounds instead of by masks."""
from __future__ import annotations

from dataclasses import dataclass

from .nested_tables import UNCACHEABLE, WRITE_BACK, WRITE_THROUGH

FIXED_END = 1 << 20
# (begin, bytes of one field, how many registers)
FIXED = ((0, 0x10000, 1), (0x80000, 0x4000, 2), (0xC0000, 0x1000, 8))


class MtrrError(Exception):
    """MTRRs that this model does not know."""


@dataclass(frozen=True)
class Span:
    """[begin, end) of one type."""

    begin: int
    end: int
    memory_type: int


@dataclass(frozen=True)
class Mtrrs:
    """As RDMSR gives them. `fixed`: MSRs 250h, 258h, 259h, 268h to 26Fh."""

    default: int
    fixed: tuple[int, ...]
    variable: tuple[tuple[int, int], ...]
    capability: int


def _fixed_spans(mtrrs: Mtrrs) -> list[Span]:
    spans, register = [], 0
    for begin, granule, registers in FIXED:
        for value in mtrrs.fixed[register:register + registers]:
            spans += [Span(begin + field * granule, begin + (field + 1) * granule, value >> 8 * field & 0xFF) for field in range(8)]
            begin += 8 * granule
        register += registers
    return spans


def _variable_spans(mtrrs: Mtrrs, address_bits: int) -> list[Span]:
    spans = []
    for base, mask in mtrrs.variable:
        if not mask >> 11 & 1:
            continue
        size = (1 << address_bits) - (mask & ~0xFFF & (1 << address_bits) - 1)
        if size & size - 1:
            raise MtrrError(f"variable range with a mask of several parts: {mask:#x}")
        begin = base & ~0xFFF & ~(size - 1)
        spans.append(Span(begin, begin + size, base & 0xFF))
    return spans


def _together(types: set[int], default: int) -> int:
    """Of overlapping variable ranges: UC wins, WT over WB; the manual defines no other mixture."""
    if not types:
        return default
    if UNCACHEABLE in types or len(types) == 1:
        return min(types)
    if types == {WRITE_THROUGH, WRITE_BACK}:
        return WRITE_THROUGH
    raise MtrrError(f"overlapping ranges of types {sorted(types)}")


def spans_of(mtrrs: Mtrrs, address_bits: int) -> list[Span]:
    """[0, 2^address_bits) in spans of one type, neighbours differing."""
    limit = 1 << address_bits
    if not mtrrs.default >> 11 & 1:
        return [Span(0, limit, UNCACHEABLE)]
    fixed = _fixed_spans(mtrrs) if mtrrs.capability >> 8 & 1 and mtrrs.default >> 10 & 1 else []
    variable = _variable_spans(mtrrs, address_bits)
    bounds = sorted({0, limit, FIXED_END} | {edge for span in fixed + variable for edge in (span.begin, span.end)})
    result: list[Span] = []
    for begin, end in zip(bounds, bounds[1:]):
        inside = fixed if fixed and begin < FIXED_END else variable
        here = _together({span.memory_type for span in inside if span.begin <= begin < span.end}, mtrrs.default & 0xFF)
        if result and result[-1].memory_type == here:
            result[-1] = Span(result[-1].begin, end, here)
        else:
            result.append(Span(begin, end, here))
    return result
