# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Runs one emulated machine to its end: starts QEMU, follows its console, enforces the time limit, cleans up."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .monitor import Monitor, MonitorError

POLL_SECONDS = 0.05
LINE = re.compile(r"UNDERCROFT-(STAGE|RESULT|FILE) (\{.*\})\s*$")
END_OF_FILE = "UNDERCROFT-END"
FILE_LINE = re.compile(r"[A-Za-z0-9+/=]*")


@dataclass
class Outcome:
    """What the run left. `state` is finished, timeout, stopped or crashed."""

    state: str = "running"
    qemu_exit: int | None = None
    seconds: float = 0.0
    stages: list[dict[str, object]] = field(default_factory=list)
    results: list[dict[str, object]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    shutdown: str = ""  # the emulator's reason: guest-shutdown, guest-reset (a triple fault too), ...
    block_statistics: list[dict[str, object]] = field(default_factory=list)
    efer_at_end: list[int] = field(default_factory=list)
    error: str = ""
    cpu_seconds: float = 0.0  # processor time of QEMU, the figure to compare on a busy host

    def reached(self, stage: str) -> bool:
        return any(entry.get("stage") == stage for entry in self.stages)

    def result(self, name: str) -> object:
        """The last value reported under this name, or None."""
        values = [entry["value"] for entry in self.results if entry["name"] == name]
        return values[-1] if values else None


class ConsoleReader:
    """Turns console output, as it grows, into stages, results and files."""

    def __init__(self, folder: Path, outcome: Outcome, on_event: Callable[[str], None],
                 watch: list[str] | None = None) -> None:
        self._folder = folder
        self._outcome = outcome
        self._on_event = on_event
        self._watch = watch or []
        self._rest = ""
        self._file_name = ""
        self._file_lines: list[str] = []

    def feed(self, text: str, now: float) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line.rstrip("\r"), now)
        for pattern in self._watch:
            if pattern not in self._outcome.seen and any(re.search(pattern, line) for line in [*lines, self._rest]):
                self._outcome.seen[pattern] = round(now, 3)
                self._on_event(f"seen: {pattern}")

    def _line(self, line: str, now: float) -> None:
        match = LINE.search(line)
        if self._file_name:
            if not match:
                self._file_line(line)
                return
            # The kernel's own words may have spoilt the line that ended the file; they must not cost what follows, too.
            self._unreadable_file("has no end")
        if not match:
            return
        try:
            value = json.loads(match.group(2))
        except json.JSONDecodeError:
            self._outcome.results.append({"name": "unreadable", "value": line, "host_s": round(now, 3)})
            return
        value["host_s"] = round(now, 3)
        if match.group(1) == "STAGE":
            self._outcome.stages.append(value)
            self._on_event(f"stage {value.get('stage')}")
        elif match.group(1) == "RESULT":
            self._outcome.results.append(value)
            self._on_event(f"{value.get('name')}: {_short(value.get('value'))}")
        else:
            self._file_name = re.sub(r"[^A-Za-z0-9._-]", "_", str(value.get("name")))
            self._file_lines = []

    def _file_line(self, line: str) -> None:
        if not line.startswith(END_OF_FILE):
            if FILE_LINE.fullmatch(line):  # others are the kernel's
                self._file_lines.append(line)
            return
        path = self._folder / f"guest-{self._file_name}"
        try:
            path.write_bytes(gzip.decompress(base64.b64decode("".join(self._file_lines), validate=True)))
        except (binascii.Error, OSError, EOFError) as error:
            self._unreadable_file(str(error))
            return
        self._outcome.files[self._file_name] = str(path)
        self._file_name = ""

    def _unreadable_file(self, why: str) -> None:
        self._outcome.results.append({"name": "unreadable", "value": f"file {self._file_name}: {why}"})
        self._file_name = ""


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."


@dataclass
class Hooks:
    """What a caller may have done along the way. `on_stage(name, monitor)` runs at each stage of the guest."""

    on_event: Callable[[str, float], None]
    on_stage: Callable[[str, Monitor], None] | None = None
    stop_after: Callable[[Outcome, float], bool] | None = None
    started: Callable[[subprocess.Popen[bytes], Monitor], None] | None = None
    on_tick: Callable[[float], None] | None = None
    interactive: bool = False
    watch: list[str] = field(default_factory=list)


def run(arguments: list[str], folder: Path, console: Path, control: Path, timeout: float, hooks: Hooks) -> Outcome:
    """Runs QEMU until the guest powers off, `timeout` passes, or `hooks.stop_after` says so. No process is left."""
    outcome = Outcome()
    begin = time.monotonic()
    reader = ConsoleReader(folder, outcome, lambda text: hooks.on_event(text, time.monotonic() - begin), hooks.watch)
    monitor: Monitor | None = None
    with open(folder / "qemu.log", "wb") as log:
        process = subprocess.Popen(arguments, stdin=None if hooks.interactive else subprocess.DEVNULL,
                                   stdout=None if hooks.interactive else log, stderr=log)
        try:
            monitor = Monitor(control)
            if hooks.started:
                hooks.started(process, monitor)
            _follow(process, monitor, outcome, reader, console, begin, timeout, hooks)
        except MonitorError as error:
            outcome.error = str(error)
        finally:
            _end(process, monitor, outcome)
    outcome.qemu_exit = process.returncode
    outcome.seconds = round(time.monotonic() - begin, 3)
    if outcome.state == "running":
        outcome.state = judge(outcome)
    return outcome


def judge(outcome: Outcome) -> str:
    return "finished" if outcome.shutdown == "guest-shutdown" and outcome.reached("end") else "crashed"


def _follow(process: subprocess.Popen[bytes], monitor: Monitor, outcome: Outcome, reader: ConsoleReader, console: Path,
            begin: float, timeout: float, hooks: Hooks) -> None:
    position = 0
    stages = 0
    while True:
        stopped = process.poll() is not None or has_stopped(monitor, outcome)
        now = time.monotonic() - begin
        position = read_on(console, position, reader, now)
        while hooks.on_stage and stages < len(outcome.stages) and process.poll() is None:
            hooks.on_stage(str(outcome.stages[stages].get("stage")), monitor)
            stages += 1
        if stopped:
            return
        if hooks.on_tick:
            hooks.on_tick(now)
        if hooks.stop_after and hooks.stop_after(outcome, now):
            outcome.state = "stopped"
            return
        if now > timeout:
            outcome.state = "timeout"
            return
        time.sleep(POLL_SECONDS)


def read_on(console: Path, position: int, reader: ConsoleReader, now: float) -> int:
    """Gives the reader what the console has had since `position`; returns where it ends now."""
    if not console.exists():
        return position
    with open(console, "rb") as handle:
        handle.seek(position)
        new = handle.read()
    reader.feed(new.decode("utf-8", "replace"), now)
    return position + len(new)


def has_stopped(monitor: Monitor, outcome: Outcome) -> bool:
    """The machine has ended, or stands still and will not go on. Why is noted in `outcome`."""
    for event in monitor.poll():
        data = event.get("data", {})
        if event["event"] == "SHUTDOWN":
            outcome.shutdown = str(data.get("reason"))
            return True
        if event["event"] == "BLOCK_IO_ERROR" and data.get("action") == "stop":  # the machine stands still until somebody makes room
            outcome.error = f"QEMU cannot {data.get('operation')} {data.get('node-name')}: {data.get('reason')}"
            return True
    return False


def _end(process: subprocess.Popen[bytes], monitor: Monitor | None, outcome: Outcome) -> None:
    """Takes the last readings while the machine is paused, then ends QEMU."""
    if process.poll() is None:
        outcome.cpu_seconds = processor_seconds(process.pid)
    if monitor and process.poll() is None:
        try:
            outcome.block_statistics = monitor.command("query-blockstats")
            outcome.efer_at_end = monitor.efer()
            monitor.command("quit")
            process.wait(10)
        except (MonitorError, subprocess.TimeoutExpired) as error:
            outcome.error = outcome.error or f"at the end: {error}"
    if monitor:
        monitor.close()
    stop(process)


def processor_seconds(pid: int) -> float:
    """User and system time of a process, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Ends a child process: asks, waits, then kills."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
