# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The page of `collect --serve` in a browser, from before the machine's first greeting until it is off, and the store that
it leaves: what the page said must be what is stored."""
from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed import cache

from . import store
from .access import READ, WRITE, Verdict
from .rig import IDENTITY, PAGE_TOKEN, Build, RigError, Run

SECONDS_OF_WRITES = 20
DISK_BYTES = 64 << 20
SOURCE = 1  # port of the test disk
SCRIPT = Path(__file__).with_name("page_watch.mjs")
START_SECONDS = 20.0
END_SECONDS = 90.0
LEAST_LOOKS = 15
LATE_MS = 1000.0  # live within a second


def _modules() -> Path:
    lock = SCRIPT.parents[2] / "page" / "package-lock.json"
    modules = cache.root() / f"page-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}" / "node_modules"
    if not (modules / "playwright-core").is_dir():
        raise RigError(f"{modules} lacks playwright-core: run tools/setup")
    return modules


def _url(folder: Path) -> str:
    log = folder / "collector-0.log"
    patience_end = time.monotonic() + START_SECONDS
    while time.monotonic() < patience_end:
        text = log.read_text(encoding="utf-8")
        if "the page is at " in text:
            return text.split("the page is at ")[1].split()[0]
        time.sleep(0.05)
    raise RigError(f"the collector did not say where its page is: {log}")


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[None]:
    """Somebody looks at the page meanwhile, and once more at the end; what was seen goes to page.json."""
    setup = {"url": _url(folder), "token": PAGE_TOKEN, "modules": str(_modules()), "chromium": shutil.which("chromium"), "source": SOURCE, "disk_blocks": DISK_BYTES // 4096, "out": str(folder), "begun_ms": time.time() * 1e3}
    with (folder / "page.json").open("wb") as seen, (folder / "page.log").open("wb") as log:
        browser = subprocess.Popen(["node", str(SCRIPT), json.dumps(setup)], stdin=subprocess.PIPE, stdout=seen, stderr=log)
        try:
            yield
            if browser.poll() is None:
                browser.communicate(b"end\n", timeout=END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RigError(f"the browser did not come to an end; see {folder}/page.log") from error
        finally:
            browser.kill()
            browser.wait()
    if browser.returncode != 0:
        raise RigError(f"the browser failed: {(folder / 'page.log').read_text(encoding='utf-8', errors='replace')[-1500:]}")


def blocks_touched(rows: list[store.Row], source: int) -> Counter[str]:
    """4 KiB blocks of reads and of writes, each once for a command."""
    touched: Counter[str] = Counter()
    for command in store.group(rows)[0]:
        if command.source != source or command.kind not in (READ, WRITE):
            continue
        for access in command.accesses(with_content=False):
            touched[command.kind] += (access.lba * 512 + access.bytes - 1) // 4096 - access.lba * 512 // 4096 + 1
    return touched


def _number(text: str) -> int:
    return int("".join(c for c in text if c.isdigit()))


def _check_counts(verdict: Verdict, run: Run, rows: list[store.Row], seen: dict[str, Any], info: dict[str, Any]) -> None:
    on_page = _number(seen["facts"]["records of disks"])
    by_info = sum(kind["records"] for kind in info["kinds"].values()) + info["gaps"]["rows"]
    verdict.fact(f"{on_page} records of disks on the page, {by_info} by `undercroft info`, {len(rows)} rows in the store")
    verdict.require(on_page == by_info == len(rows), "page, `undercroft info` and store count differently")
    verdict.require(_number(seen["facts"]["records missing"]) == 0, f"records missing: {seen['facts']['records missing']}")
    with (run.folder / "page.csv").open(encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    drawn = Counter({kind: sum(int(cell[name]) for cell in cells) for kind, name in ((READ, "reads"), (WRITE, "writes"))})
    stored = blocks_touched(rows, SOURCE)
    verdict.fact(f"blocks in the timeline's cells: {drawn[WRITE]} written, {drawn[READ]} read; in the store {stored[WRITE]} and {stored[READ]}")
    verdict.require(drawn == stored, "the cells of the timeline do not add up to the store's accesses")
    verdict.require(stored[WRITE] >= LEAST_LOOKS * 100, f"the guest wrote {stored[WRITE]} blocks only")


def _check_growth(verdict: Verdict, seen: dict[str, Any]) -> None:
    columns = [look["columns"] for look in seen["growth"]]
    verdict.fact(f"columns of pixels with writes, looked at every 0.4 s: {columns}")
    verdict.require(all(a <= b for a, b in zip(columns, columns[1:])), "columns went away while the guest wrote")
    verdict.require(len(set(columns)) >= len(columns) // 2 and columns[-1] >= 3 * max(1, columns[0]), "the picture did not grow while the guest wrote")


def delays_ms(seen: dict[str, Any], last_ns: int) -> list[float]:
    """Age of the newest cell drawn, from its beginning, at each look while the guest was writing."""
    return sorted(look["now_ms"] - look["newest_ms"] for look in seen["follow"] if look["newest_ms"] is not None and look["now_ms"] * 1e6 <= last_ns)


def check(run: Run, build: Build) -> Verdict:
    verdict = Verdict("the page shows a guest's work live, and what the store has")
    seen = json.loads((run.folder / "page.json").read_text(encoding="utf-8"))
    rows = store.only_boot(run.store).rows()
    told = subprocess.run([str(build.undercroft), "info", str(run.store), "--json"], capture_output=True, text=True, check=True)
    verdict.require(seen["empty"], "the page did not say that no machine has reported yet")
    verdict.require(seen["machine"] == IDENTITY.machine_id, f"another machine on the page: {seen['machine']}")
    verdict.require(not seen["complaints"], f"the browser complained: {seen['complaints']}")
    _check_counts(verdict, run, rows, seen, json.loads(told.stdout)["boots"][0])
    _check_growth(verdict, seen)
    delays = delays_ms(seen, max(row.time_ns for row in rows if row.source == SOURCE))
    verdict.require(len(delays) >= LEAST_LOOKS, f"the page was looked at {len(delays)} times only while the guest wrote")
    if delays:
        median = statistics.median(delays)
        verdict.fact(f"from a record's time to its pixel: median {median:.0f} ms, {delays[int(len(delays) * 0.95)]:.0f} ms at 95 % of {len(delays)} looks")
        verdict.require(median <= LATE_MS, f"records appear after {median:.0f} ms")
        (run.folder / "live.json").write_text(json.dumps({"live_delay_ms_median": median, "live_delay_ms_p95": delays[int(len(delays) * 0.95)]}), encoding="utf-8")
    return verdict
