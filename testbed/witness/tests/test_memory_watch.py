# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The judges of the watch and of survival on made-up records."""
from __future__ import annotations

import unittest
from collections.abc import Iterable

from testbed.witness import memory_account, memory_survival, memory_watch
from testbed.witness.memory_store import BY_SCAN, MODE, MemoryRow, PAGE_BYTES, READ, SCANNED, WRITE
from testbed.witness.memory_touch import Pass, Touched

SECOND = 1_000_000_000
PAGES = [16, 40, 41, 90]  # page numbers of the program's pages
KINDS = "wrnw"
RANGE_PAGES = 128


class Maker:
    """Records of scans, each second one: the pages given, by 4 KiB."""

    def __init__(self) -> None:
        self.rows = [MemoryRow(0, 0, MODE, 0, 0, source=4)]

    def scan(self, second: float, pages: dict[int, str], looked: bool = True, page_class: int = 1) -> None:
        time = int(second * SECOND)
        for page, kind in sorted(pages.items()):
            self._add(time, kind, page, 1, BY_SCAN, page_class)
        if looked:
            self._add(time + 1000, SCANNED, 0, RANGE_PAGES, 0, page_class)

    def _add(self, time: int, kind: str, page: int, pages: int, flags: int, page_class: int) -> None:
        self.rows.append(MemoryRow(len(self.rows), time, kind, page * PAGE_BYTES, pages * PAGE_BYTES, flags=flags, page_class=page_class))


def problems(maker: Maker, moved: Iterable[int] = ()) -> str:
    touched = Touched([page * PAGE_BYTES for page in PAGES], KINDS, [Pass([0, 1, 3], list(moved))])
    results = [{"name": name, "value": value, "guest_uptime_s": at} for name, value, at in
               [("touched_before", 0, 10.0), ("touched_watch", {}, 10.1), ("touched_begin", 0, 15.2), ("touched_end", 0, 15.3)]]
    return "; ".join(memory_watch.check(maker.rows, touched, results).problems)


def whole_run(after: dict[int, str], later: dict[int, str] | None = None) -> Maker:
    """The touches are at 5.1 to 5.3 s by the sensor's clock."""
    maker = Maker()
    for second in (1, 2, 3, 4, 5):
        maker.scan(second, {})
    maker.scan(6, after)
    for second in (7, 8, 9):
        maker.scan(second, (later or {}) if second == 9 else {})
    return maker


class Watch(unittest.TestCase):
    GOOD = {16: WRITE, 40: READ, 90: WRITE}

    def test_what_was_touched_is_seen(self) -> None:
        self.assertEqual(problems(whole_run(self.GOOD)), "")

    def test_a_missed_touch_is_found(self) -> None:
        self.assertIn("page 1 (r", problems(whole_run({16: WRITE, 90: WRITE})))

    def test_a_write_told_as_a_read_is_found(self) -> None:
        self.assertIn("page 3 (w", problems(whole_run({**self.GOOD, 90: READ})))

    def test_a_touch_told_too_late_is_found(self) -> None:
        self.assertIn("page 0 (w", problems(whole_run({40: READ, 90: WRITE}, later={16: WRITE})))

    def test_a_page_left_alone_must_not_be_told(self) -> None:
        self.assertIn("page 2 (n", problems(whole_run({**self.GOOD, 41: READ})))

    def test_a_read_page_must_not_be_told_as_written(self) -> None:
        self.assertIn("page 1 (r, 0x28000): written", problems(whole_run({**self.GOOD, 40: WRITE})))

    def test_not_looked_at_is_no_evidence(self) -> None:
        maker = Maker()
        for second in (1, 2, 3, 4):
            maker.scan(second, {})
        self.assertIn("too few were looked at", problems(maker))

    def test_moved_pages_prove_nothing(self) -> None:
        self.assertIn("proves nothing", problems(whole_run(self.GOOD), moved=[1]))

    def test_scans_that_find_nothing_are_scans(self) -> None:
        self.assertEqual(len(memory_watch.scans_of(whole_run(self.GOOD).rows)), 9)


class Survival(unittest.TestCase):
    def test_sequence_numbers(self) -> None:
        whole = memory_account.Account(spans=memory_account.joined([(0, 5), (5, 9)]), in_gaps=2)
        self.assertTrue(memory_account.complete(whole, "memory", dropped=2).ok)
        self.assertFalse(memory_account.complete(whole, "memory", dropped=1).ok)
        for spans in ([(0, 5), (6, 9)], [(0, 5), (4, 9)], [(1, 9)]):
            self.assertFalse(memory_account.complete(memory_account.Account(spans=memory_account.joined(spans)), "memory", 0).ok, spans)

    def test_bytes_of_a_disk(self) -> None:
        statistics: list[dict[str, object]] = [{"node-name": "disk-test0", "stats": {"rd_bytes": 900, "wr_bytes": 512}}, {"node-name": "other", "stats": {}}]
        found = memory_account.Account()
        found.bytes.update({("read", 1): 800, ("write", 1): 512, ("write", 0): 77})
        self.assertTrue(memory_account.same_bytes(found, 1, statistics, "disk-test0", slack=100).ok)
        self.assertFalse(memory_account.same_bytes(found, 1, statistics, "disk-test0", slack=99).ok)
        found.bytes["write", 1] += 1
        self.assertFalse(memory_account.same_bytes(found, 1, statistics, "disk-test0", slack=100).ok)

    def test_share_in_the_sensor(self) -> None:
        def judged(plain: int, watched: int, commands: float = 1.0, count: int = 2000) -> bool:
            return memory_survival.within_budget(memory_survival.Samples(count, plain), memory_survival.Samples(count, watched), commands).ok

        self.assertTrue(judged(200, 300))
        self.assertFalse(judged(200, 380))  # 9 % where 5 % and 3 % of chance are allowed
        self.assertFalse(judged(200, 300, commands=0.1))  # the disk did next to nothing
        self.assertTrue(judged(400, 440, commands=0.9))
        self.assertFalse(judged(0, 0, count=0))
        self.assertFalse(judged(20, 21, count=100))


if __name__ == "__main__":
    unittest.main()
