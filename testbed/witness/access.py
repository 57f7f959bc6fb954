# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The common form in which the store and the witnesses are compared: one device command each."""
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

READ, WRITE, FLUSH, TRIM = "read", "write", "flush", "trim"
BLOCK_BYTES = 4096
SHOWN_DIFFERENCES = 10


@dataclass(frozen=True, slots=True)
class Access:
    """One command (for a trim: one range). `lba` in 512-byte units. `content` is SHA-256 over the
    SHA-256 of each 4 KiB block of a write, or None where content is not known."""

    kind: str
    lba: int
    bytes: int
    content: bytes | None = None

    def __str__(self) -> str:
        text = f"{self.kind} lba {self.lba} bytes {self.bytes}"
        return text if self.content is None else f"{text} content {self.content.hex()[:16]}"

    def records(self) -> int:
        """How many records the sensor makes of it (wire/record.hpp)."""
        return max(1, -(-self.bytes // BLOCK_BYTES)) if self.kind == WRITE else 1

    def cut(self) -> list[tuple[str, int, int]]:
        """(kind, lba, bytes) of those records."""
        if self.kind != WRITE:
            return [(self.kind, self.lba, self.bytes)]
        return [(WRITE, self.lba + at // 512, min(BLOCK_BYTES, self.bytes - at)) for at in range(0, self.bytes, BLOCK_BYTES)]


def content_of(block_hashes: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(block_hashes)).digest()


class Verdict:
    """Problems found and facts worth printing; `ok` only when there are no problems."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.problems: list[str] = []
        self.facts: list[str] = []

    @property
    def ok(self) -> bool:
        return not self.problems

    def fact(self, text: str) -> None:
        self.facts.append(text)

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def require(self, condition: bool, text: str) -> None:
        if not condition:
            self.problem(text)

    def differences(self, what: str, found: Sequence[str]) -> None:
        """One problem with the first few of `found`; nothing when there are none."""
        if found:
            shown = "".join(f"\n      {line}" for line in found[:SHOWN_DIFFERENCES])
            more = "" if len(found) <= SHOWN_DIFFERENCES else f"\n      ... and {len(found) - SHOWN_DIFFERENCES} more"
            self.problem(f"{what}: {len(found)}{shown}{more}")

    def merge(self, other: Verdict) -> None:
        self.facts += [f"{other.subject}: {text}" for text in other.facts]
        self.problems += [f"{other.subject}: {text}" for text in other.problems]

    def __str__(self) -> str:
        lines = [f"{'PASS' if self.ok else 'FAIL'}  {self.subject}"]
        lines += [f"    {text}" for text in self.facts]
        lines += [f"  ! {text}" for text in self.problems]
        return "\n".join(lines)


def compare_multisets(verdict: Verdict, left_name: str, left: Iterable[Access], right_name: str, right: Iterable[Access]) -> None:
    """Each command as often on the left as on the right."""
    a, b = Counter(left), Counter(right)
    verdict.differences(f"only in {left_name}", [f"{count} x {access}" for access, count in (a - b).items()])
    verdict.differences(f"only in {right_name}", [f"{count} x {access}" for access, count in (b - a).items()])


def compare_sequences(verdict: Verdict, left_name: str, left: Sequence[object], right_name: str, right: Sequence[object]) -> None:
    """The same items in the same order; reports where they first part."""
    for index, (a, b) in enumerate(zip(left, right)):
        if a != b:
            verdict.problem(f"order differs first at position {index}: {left_name} has {a}, {right_name} has {b}")
            return
    if len(left) != len(right):
        longer, name = (left, left_name) if len(left) > len(right) else (right, right_name)
        at = min(len(left), len(right))
        verdict.problem(f"{name} has {abs(len(left) - len(right))} more, the first of them {longer[at]}")
