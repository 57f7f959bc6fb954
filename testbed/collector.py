# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Runs `undercroft collect` for the length of a run, and writes the sensor's configuration that goes with it."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 180.0  # what a guest's full load kept it from turning into Parquet is done now, at low priority
QUIET_SECONDS = 2.5  # the collector renews its metrics once a second


class CollectorError(Exception):
    """The collector did not start or did not end well."""


@dataclass(frozen=True)
class Identity:
    """Machine id and keys that sensor, collector and ucctl share."""

    machine_id: str = field(default_factory=lambda: secrets.token_hex(16))
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    control_key: str = field(default_factory=lambda: secrets.token_hex(32))


def sensor_config(identity: Identity, collector_port: int, settings: dict[str, str] | None = None) -> str:
    """undercroft.conf for QEMU's user networking, where the host is 10.0.2.2; `settings` override."""
    values = {"machine_id": identity.machine_id, "key": identity.key, "control_key": identity.control_key,
              "address": "10.0.2.15", "netmask": "255.255.255.0", "gateway": "10.0.2.2",
              "collector": f"10.0.2.2:{collector_port}", "log_serial": "0x3e8", "log_level": "info", **(settings or {})}
    if values["address"] == "dhcp":  # the server names them
        values = {name: value for name, value in values.items() if name not in ("netmask", "gateway")}
    return "".join(f"{name} = {value}\n" for name, value in values.items())


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, so that it stores what it has; killed only if it does not end. The exit code."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Collector:
    """`undercroft collect` on a loopback port that stays the same over restarts. As a context manager it runs
    throughout; who wants it to die and come back calls `start` and ends the processes himself."""

    def __init__(self, program: Path, folder: Path, identity: Identity, options: Sequence[str] = ()) -> None:
        self.port = free_udp_port()
        self.store = folder / "store"
        self.exit_code: int | None = None
        self._folder = folder
        self._starts = 0
        self._metrics = folder / "collector.json"
        key_file = folder / "collector.key"
        key_file.write_text(identity.key + "\n", encoding="ascii")
        key_file.chmod(0o600)
        self._command = [str(program), "collect", "--store", str(self.store), "--key-file", str(key_file), "--listen",
                         f"127.0.0.1:{self.port}", "--metrics-file", str(self._metrics), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """A new process that receives when this returns. Its output goes to collector-N.log."""
        ready, log = self._folder / "collector.ready", self._folder / f"collector-{self._starts}.log"
        ready.unlink(missing_ok=True)
        self._starts += 1
        with open(log, "wb") as output:
            process = subprocess.Popen([*self._command, "--ready-file", str(ready)], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        patience_end = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > patience_end:
                process.kill()
                process.wait()
                raise CollectorError(f"the collector did not start: {log.read_text(encoding='utf-8', errors='replace')[-600:].strip()}")
            time.sleep(0.02)
        return process

    def __enter__(self) -> Collector:
        self._process = self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            self.exit_code = end(process)

    def metrics(self) -> dict[str, int]:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            values: dict[str, int] = json.loads(self._metrics.read_text(encoding="utf-8"))
            return values
        return {}

    def wait_until_quiet(self, patience: float, quiet: float | None = None) -> bool:
        """Waits until no records have come for a while: the sensor has then sent what it had buffered."""
        patience_end = time.monotonic() + patience
        quiet = QUIET_SECONDS if quiet is None else quiet
        last, since = 0, time.monotonic()
        while time.monotonic() < patience_end:
            now = self.metrics().get("fragments_received", last)  # nothing to read is no news
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since >= quiet:
                return True
            time.sleep(0.1)
        return False
