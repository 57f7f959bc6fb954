# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The detector's features worked out from their formulas (docs/detection.md), access by access and without any of the
program's shortcuts: every window is computed anew from all accesses up to its end."""
from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise

Value = float | None
HASH = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Piece:
    """At most 4,096 bytes of one access."""

    time: int  # ns
    write: bool
    lba: int
    size: int
    entropy: float | None = None


@dataclass
class Fact:
    """A write piece and what was known of its block before."""

    piece: Piece
    since_read_ms: int | None
    first_since_read: bool
    written_before: bool
    entropy_before: float | None
    near_read: bool

    @property
    def at_rest(self) -> bool:
        now, before = self.piece.entropy, self.entropy_before
        if self.since_read_ms is None or (now is not None and now < 0.5):
            return False
        rises = now is not None and before is not None and now - before >= 0.1
        return not self.written_before or (rises and self.first_since_read)


def single(value: float) -> float:
    """As a 32-bit float holds it."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def ratio(part: float, whole: float) -> Value:
    return part / whole if whole > 0 else None


def variance(values: list[int]) -> float:
    return (len(values) * sum(v * v for v in values) - sum(values) ** 2) / len(values) ** 2 if values else 0.0


def counted(values: list[int], bits: int) -> float:
    """Linear counting."""
    slots = 1 << bits
    used = len({(v * HASH & (1 << 64) - 1) >> 64 - bits for v in values})
    return -slots * math.log((slots - used) / slots)


@dataclass
class History:
    """What the accesses up to a time say of each piece: which reads count, and how writes relate to them."""

    reads: list[Piece]
    facts: list[Fact]
    switches: list[int]  # times
    read_back: list[int]  # times of reads that count, of blocks written before

    @staticmethod
    def of(pieces: list[Piece], start: int) -> "History":
        blocks: dict[int, dict[str, int | float | None]] = {}
        history = History([], [], [], [])
        last_kept: Piece | None = None
        for piece in pieces:
            now = (piece.time - start) // 1_000_000
            block = blocks.setdefault(piece.lba // 8, {"read": None, "written": None, "entropy": None, "overwritten": None})
            if piece.write:
                read, end = block["read"], history.reads[-1].lba + -(-history.reads[-1].size // 512) if history.reads else None
                history.facts.append(Fact(piece, None if read is None else int(now - read), not block["overwritten"], block["written"] is not None,
                                          block["entropy"], end is not None and abs(piece.lba - end) < 2048))
                block.update(written=now, entropy=piece.entropy, overwritten=True)
            else:
                seen = block["read"] is not None
                block.update(read=now, overwritten=False)
                if seen or piece.size < 512:
                    continue
                history.reads.append(piece)
                if block["written"] is not None:
                    history.read_back.append(piece.time)
            if last_kept is not None and last_kept.write != piece.write:
                history.switches.append(piece.time)
            last_kept = piece
        return history


def runs_closed(pieces: list[Piece]) -> list[tuple[int, int]]:
    """(time at which the run is known to have ended, its length)."""
    closed, length = [], 0
    for before, piece in pairwise([None, *pieces]):
        follows = before is not None and piece.lba == before.lba + -(-before.size // 512)
        if before is not None and not follows:
            closed.append((piece.time, length))
            length = 0
        length += 1
    return closed


def at_rest_in_runs(facts: list[Fact]) -> list[int]:
    """For each write at rest in a run of 4 and more, the time at which that run is known to have ended."""
    times, first = [], 0
    for time, length in runs_closed([fact.piece for fact in facts]):
        times += [time] * (sum(fact.at_rest for fact in facts[first:first + length]) if length >= 4 else 0)
        first += length
    return times


def direction(prefix: str, pieces: list[Piece], start: int, begin: int, end: int, seconds: float) -> dict[str, Value]:
    """Features of one direction's pieces (all up to `end`, those that count)."""
    inside = [p for p in pieces if begin <= p.time < end]
    n = len(inside)
    runs = [length for time, length in runs_closed(pieces) if begin <= time < end]
    jumps = [p.lba - (b.lba + -(-b.size // 512)) for b, p in pairwise(pieces) if begin <= p.time < end]
    jumps = [j for j in jumps if j != 0]
    slots: dict[int, int] = {}
    for p in inside:
        slots[(p.time - start) // 100_000_000] = slots.get((p.time - start) // 100_000_000, 0) + 1
    squares, slot_count = sum(v * v for v in slots.values()), seconds * 10
    mean = n / slot_count
    rows = sum(runs)
    zones = counted([p.lba // 2048 for p in inside], 11)

    def in_runs(low: int, high: int) -> Value:
        return ratio(sum(r for r in runs if low <= r <= high), rows)

    return {
        f"{prefix}_bytes_per_s": sum(p.size for p in inside) / seconds,
        f"{prefix}_lba_variance": variance([p.lba for p in inside]),
        f"{prefix}_rate": n / seconds,
        f"{prefix}_single_runs": ratio(runs.count(1), len(runs)),
        f"{prefix}_run_length": ratio(rows, len(runs)),
        f"{prefix}_in_runs_2_to_7": in_runs(2, 7),
        f"{prefix}_in_runs_8_to_15": in_runs(8, 15),
        f"{prefix}_in_runs_16_to_63": in_runs(16, 63),
        f"{prefix}_in_runs_from_64": in_runs(64, 1 << 30),
        f"{prefix}_partial": ratio(sum(p.size < 4096 for p in inside), n),
        f"{prefix}_aligned": ratio(sum(p.lba % 8 == 0 for p in inside), n),
        f"{prefix}_jumps_forward": ratio(sum(j > 0 for j in jumps), len(jumps)),
        f"{prefix}_jumps_near": ratio(sum(abs(j) < 2048 for j in jumps), len(jumps)),
        f"{prefix}_jumps_far": ratio(sum(abs(j) >= 1 << 20 for j in jumps), len(jumps)),
        f"{prefix}_rows_per_zone": ratio(n, zones),
        f"{prefix}_working_set": zones,
        f"{prefix}_active": len(slots) / slot_count,
        f"{prefix}_dispersion": ratio(squares / slot_count - mean * mean, mean),
        f"{prefix}_evenness": ratio(n * n, squares * slot_count),
    }


def entropies(facts: list[Fact], seconds: float) -> dict[str, Value]:
    known = [f.piece.entropy for f in facts if f.piece.entropy is not None]
    over = [f for f in facts if f.since_read_ms is not None]
    over_known = [f.piece.entropy for f in over if f.piece.entropy is not None]
    high = sum(e >= single(0.9) for e in over_known)
    high_at_rest = sum(f.at_rest and f.piece.entropy is not None and f.piece.entropy >= single(0.9) for f in facts)
    changes = [f.piece.entropy - f.entropy_before for f in facts if f.piece.entropy is not None and f.entropy_before is not None]
    mean = ratio(sum(known), len(known))
    edges = [0.0, single(0.3), single(0.7), single(0.9), single(0.98), 2.0]
    shares = [ratio(sum(low <= e < top for e in known), len(known)) for low, top in pairwise(edges)]
    names = ["entropy_below_03", "entropy_03_to_07", "entropy_07_to_09", "entropy_09_to_098", "entropy_from_098"]
    return {
        "write_entropy": mean,
        "entropy_deviation": None if mean is None else math.sqrt(max(sum(e * e for e in known) / len(known) - mean**2, 0)),
        **dict(zip(names, shares)),
        "high_overwrites": ratio(high, len(known)),
        "high_at_rest": ratio(high_at_rest, len(known)),
        "high_overwrite_rate": high / seconds,
        "overwrite_entropy": ratio(sum(over_known), len(over_known)),
        "entropy_change": ratio(sum(changes), len(changes)),
        "entropy_rises": ratio(sum(c >= 0.1 for c in changes), len(changes)),
    }


def relations(history: History, reads: list[Piece], facts: list[Fact], begin: int, end: int, seconds: float) -> dict[str, Value]:
    """How writes follow reads."""
    n = len(facts)
    over = [f for f in facts if f.since_read_ms is not None]
    first = [f.since_read_ms for f in over if f.first_since_read]
    read_bytes, written = sum(p.size for p in reads), sum(f.piece.size for f in facts)
    read_zones, write_zones = [p.lba // 2048 for p in reads], [f.piece.lba // 2048 for f in facts]
    hashed = [{(z * HASH & (1 << 64) - 1) >> 53 for z in zones} for zones in (read_zones, write_zones)]
    return {
        "write_distinct": ratio(counted([f.piece.lba // 8 for f in facts], 13), n),
        "overwrite_after_read": ratio(len(over), n),
        "overwrite_after_read_rate": len(over) / seconds,
        "reads_overwritten": ratio(len(first), len(reads)),
        "overwrite_at_rest": ratio(sum(f.at_rest for f in facts), n),
        "at_rest_in_runs": ratio(sum(begin <= t < end for t in at_rest_in_runs(history.facts)), n),
        "reads_overwritten_at_rest": ratio(sum(f.at_rest for f in facts), len(reads)),
        "read_back": ratio(sum(begin <= t < end for t in history.read_back), len(reads)),
        "overwrite_latency": ratio(sum(first) / 1000, len(first)),
        "overwrite_in_1_s": ratio(sum(f.since_read_ms <= 1000 for f in over), len(over)),
        "overwrite_in_10_s": ratio(sum(f.since_read_ms <= 10_000 for f in over), len(over)),
        "rewrites": ratio(sum(f.written_before for f in facts), n),
        "write_untouched": ratio(sum(not f.written_before and f.since_read_ms is None for f in facts), n),
        "write_near_read": ratio(sum(f.near_read for f in facts), n),
        "read_share": ratio(read_bytes, read_bytes + written),
        "direction_switches": ratio(sum(begin <= t < end for t in history.switches), len(reads) + n),
        "zones_read_and_written": ratio(2 * len(hashed[0] & hashed[1]), counted(read_zones, 11) + counted(write_zones, 11)),
        "trim_share": ratio(0, written),
        "flushes_per_write": ratio(0, n),
    }


def peak(times: list[int], begin: int, end: int, pane: int) -> float:
    """log2(1 + events per second) in the busiest ten seconds that end in (begin, end], by the pane."""
    ends = range(end, begin, -pane)
    return math.log2(1 + max(sum(at - 10**10 <= time < at for time in times) for at in ends) / 10)


def features(pieces: list[Piece], window: int, end: int, pane: int) -> dict[str, Value]:
    """All storage features of [end - window, end); `pieces` are in time order."""
    start = pieces[0].time
    begin = max(end - window, start)
    seconds = (end - begin) / 1e9
    past = [p for p in pieces if p.time < end]
    history = History.of(past, start)
    reads = [p for p in history.reads if begin <= p.time < end]
    facts = [f for f in history.facts if begin <= f.piece.time < end]
    over = [f for f in history.facts if f.since_read_ms is not None]
    return {
        "read_single_peak": peak([time for time, length in runs_closed(history.reads) if length == 1], begin, end, pane),
        "overwrite_peak": peak([f.piece.time for f in over], begin, end, pane),
        "high_overwrite_peak": peak([f.piece.time for f in over if f.piece.entropy is not None and f.piece.entropy >= single(0.9)], begin, end, pane),
        "at_rest_in_runs_peak": peak(at_rest_in_runs(history.facts), begin, end, pane),
        **direction("read", history.reads, start, begin, end, seconds),
        **direction("write", [f.piece for f in history.facts], start, begin, end, seconds),
        **entropies(facts, seconds),
        **relations(history, reads, facts, begin, end, seconds),
    }
