# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The host's side of a behaviour run: the disk with the documents, what the guest needs, and the labels of the run's store."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import cache, undo, workshop
from ..request import DiskWish, Request
from ..run import Outcome
from . import catalogue, corpus, volume

FILES = 4000
SECONDS = 35.0
DISK_BYTES = 1 << 30
MEMORY = "1G"
SOURCE = "0:1"  # first AHCI controller, port 1: the disk with the documents
GUEST_PARTS = ["__init__.py", *(f"behaviour/{name}.py" for name in
                                ("__init__", "catalogue", "volume", "corpus", "cipher", "encryptors", "job", "daily_work", "system_work", "lookalikes",
                                 "guest"))]
PREPARE_SECONDS = 600.0


class BehaviourError(Exception):
    """The documents could not be made, or a run's labels not be read."""


@dataclass(frozen=True)
class Wish:
    """One run: what, on which documents, for how long."""

    workload: str
    seed: int
    file_system: str
    files: int = FILES
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        if self.workload not in catalogue.WORKLOADS or self.file_system not in catalogue.FILE_SYSTEMS:
            raise BehaviourError(f"there is no workload {self.workload!r} on {self.file_system!r}")

    @property
    def name(self) -> str:
        return f"{self.workload}-{self.file_system}-{self.seed}"


@dataclass(frozen=True)
class Documents:
    """A disk with the documents of a seed, and the list of them with their hashes."""

    image: Path
    manifest: Path


def documents(file_system: str, seed: int, files: int = FILES) -> Documents:
    """In the cache; a bare machine makes them the first time."""
    parts = [cache.SOURCE_ROOT / part for part in GUEST_PARTS if part.endswith(("volume.py", "corpus.py"))]
    name = cache.key("documents 1", file_system, seed, files, DISK_BYTES, *parts)
    folder = cache.build(f"documents-{file_system}", name, lambda work: _make_documents(work, Wish("idle", seed, file_system, files)))
    return Documents(folder / "disk.raw", folder / "corpus.json")


def _make_documents(work: Path, wish: Wish) -> None:
    from ..session import Session  # session imports what imports this

    with tempfile.TemporaryDirectory(prefix="undercroft-documents-") as out:
        request = Request(out=Path(out), disks=[DiskWish(DISK_BYTES)], timeout=PREPARE_SECONDS)
        arrange(request, wish, "prepare")
        session = Session(request)
        outcome = session.run()
        if outcome.state != "finished" or outcome.result("exit_status") != 0 or "behaviour.json" not in outcome.files:
            raise BehaviourError(f"the documents could not be made: {outcome.state} {outcome.error} {_said(outcome)}")
        shutil.move(outcome.files["behaviour.json"], work / "corpus.json")
        subprocess.run(["cp", "--sparse=always", f"{out}/disk0.raw", str(work / "disk.raw")], check=True)


def arrange(request: Request, wish: Wish, action: str = "run") -> Request:
    """Turns a request into one for a behaviour run."""
    request.workload, request.memory, request.tools = "behaviour", MEMORY, workshop.image()
    request.settings |= {"BEHAVIOUR": action, "WORKLOAD_NAME": wish.workload, "SEED": str(wish.seed), "FILE_SYSTEM": wish.file_system,
                         "SECONDS_EACH": str(wish.seconds), "FILES": str(wish.files)}
    request.guest_files |= {f"run.d/testbed/{part}": cache.SOURCE_ROOT / part for part in GUEST_PARTS}
    if action == "run":
        made = documents(wish.file_system, wish.seed, wish.files)
        request.disks = [DiskWish(DISK_BYTES, base=made.image)]
        request.guest_files["run.d/corpus.json"] = made.manifest
    return request


def guest_report(outcome: Outcome) -> dict[str, object]:
    path = outcome.files.get("behaviour.json")
    if not path:
        raise BehaviourError(f"the guest reported nothing: {outcome.state} {outcome.error} {_said(outcome)}")
    report: dict[str, object] = json.loads(Path(path).read_text(encoding="utf-8"))
    if report["error"]:
        raise BehaviourError(f"the workload failed: {report['error']}")
    return report


def _said(outcome: Outcome) -> str:
    path = outcome.files.get("behaviour.out")
    return Path(path).read_text(encoding="utf-8", errors="replace")[-1500:] if path else ""


def labels(program: Path, store: Path, report: dict[str, object], manifest: Path) -> dict[str, object]:
    """What happened when, by the sensor's clock."""
    machine, boot = _machine_and_boot(store)
    offset, uncertainty = clock_offset(program, store, report)
    entries = {entry.path: entry for entry in corpus.read_manifest(manifest)}
    first = report["first_writes"]
    assert isinstance(first, dict)
    files = [{"path": path, "bytes": entries[path].bytes, "sha256": entries[path].sha256, "first_write_ns": at + offset}
             for path, at in sorted(first.items(), key=lambda item: item[1])]
    return {"format": 1, "workload": report["workload"], "family": report["workload"], "class": report["class"], "seed": report["seed"],
            "fs": report["fs"], "machine": machine, "boot": boot, "source": _source_number(), "begin_ns": int(str(report["begin_ns"])) + offset,
            "end_ns": int(str(report["end_ns"])) + offset, "first_write_ns": files[0]["first_write_ns"] if files else None,
            "clock_offset_ns": offset, "clock_uncertainty_ns": uncertainty, "corpus_files": len(entries), "corpus_bytes": sum(entry.bytes for entry in entries.values()),
            "files": files}


def clock_offset(program: Path, store: Path, report: dict[str, object]) -> tuple[int, int]:
    """What to add to the guest's clock to get the sensor's, and by how much that may be wrong: from the mark at the begin,
    whose write both saw, the guest as something between two instants."""
    begin = report["begin_mark"]
    assert isinstance(begin, list)
    before, after = int(begin[0]), int(begin[1])
    place = DISK_BYTES // volume.SECTOR - volume.TAIL_SECTORS + 8
    for row in undo.records(program, store, SOURCE):
        if row["kind"] == "write" and int(row["lba"]) == place:
            return int(row["time_ns"]) - (before + after) // 2, (after - before + 1) // 2
    raise BehaviourError("the mark at the workload's begin is not in the store")


def hashes_before(report: dict[str, object], manifest: Path) -> dict[str, str]:
    """SHA-256 of every document when the workload began, by path on the volume."""
    changed = report["changed_before"]
    assert isinstance(changed, dict)
    known = {entry.path: entry.sha256 for entry in corpus.read_manifest(manifest)} | changed
    return {f"{catalogue.FOLDER}/{path}": digest for path, digest in known.items()}


def partition_place() -> tuple[int, int]:
    """First sector and length of the partition."""
    return volume.PARTITION_START, DISK_BYTES // volume.SECTOR - volume.PARTITION_START - volume.TAIL_SECTORS


def _machine_and_boot(store: Path) -> tuple[str, str]:
    found = [match for path in store.glob("machine=*/boot=*") if (match := re.search(r"machine=([0-9a-f]{32})/boot=([0-9a-f]{32})$", str(path)))]
    if len(found) != 1:
        raise BehaviourError(f"{store} holds {len(found)} boots, not one")
    return found[0][1], found[0][2]


def _source_number() -> int:
    controller, port = SOURCE.split(":")
    return int(controller) << 8 | int(port)
