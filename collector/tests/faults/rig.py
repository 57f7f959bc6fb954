# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Collector, load and checker as processes; and the paths between them: loopback, two network namespaces, or the fault proxy."""
from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

SENSOR_ADDRESS = "10.213.77.1"
COLLECTOR_ADDRESS = "10.213.77.2"


class RigError(Exception):
    """Something that a fault must not cause."""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Namespaces:
    """A sensor's and a collector's network namespace with a cable between them that can be made bad."""

    def __init__(self) -> None:
        tag = f"uc{os.getpid()}"
        self.sensor, self.collector = f"{tag}s", f"{tag}c"
        for name in (self.sensor, self.collector):
            self._run("ip", "netns", "add", name)
        self._run("ip", "link", "add", "cable", "netns", self.sensor, "type", "veth", "peer", "name", "cable", "netns", self.collector)
        for name, address in ((self.sensor, SENSOR_ADDRESS), (self.collector, COLLECTOR_ADDRESS)):
            self._run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "cable")
            self._run("ip", "-n", name, "link", "set", "cable", "up")
            self._run("ip", "-n", name, "link", "set", "lo", "up")

    @staticmethod
    def why_not() -> str:
        """Empty when this machine can have them."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        if subprocess.run(["ip", "netns", "list"], capture_output=True, check=False).returncode != 0:
            return "this kernel or container has no network namespaces"
        return ""

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RigError(f"{' '.join(command)}: {done.stderr.strip()}")

    def impair(self, *discipline: str) -> bool:
        """Puts a queueing discipline on both ends; False when the kernel does not know it."""
        for name in (self.sensor, self.collector):
            subprocess.run(["tc", "-n", name, "qdisc", "del", "dev", "cable", "root"], capture_output=True, check=False)
            done = subprocess.run(["tc", "-n", name, "qdisc", "add", "dev", "cable", "root", *discipline], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                if "unknown" in done.stderr or "No such file" in done.stderr:
                    return False
                raise RigError(f"tc qdisc {' '.join(discipline)}: {done.stderr.strip()}")
        return True

    def cable(self, up: bool) -> None:
        self._run("ip", "-n", self.sensor, "link", "set", "cable", "up" if up else "down")

    def close(self) -> None:
        for name in (self.sensor, self.collector):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@dataclass
class Load:
    """What uc_sensor_load is asked for."""

    sensors: int = 4
    shape: str = "headers"
    records: int = 30_000  # of each sensor; 0: until it is ended, or for `seconds`
    rate: int = 60_000  # of all together, per second; 0: as fast as acknowledgements allow
    seconds: float = 86_400
    seed: int = 1
    distinct: int = 300
    gap_every: int = 0
    give_up: float = 40
    base_time_ns: int = 1_700_000_000_000_000_000


@dataclass
class Rig:
    """One store, one collector (again and again), one load."""

    programs: Path
    folder: Path
    namespaces: Namespaces | None = None
    arguments: tuple[str, ...] = ("--roll-seconds", "1", "--roll-rows", "20000")
    bad_machine: dict[str, str] = field(default_factory=dict)  # what bad_machine.cpp reads
    store: Path = field(init=False)
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = self.folder / "store"
        (self.folder / "key").write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        self.address = f"{COLLECTOR_ADDRESS if self.namespaces else '127.0.0.1'}:{4710 if self.namespaces else free_port()}"
        self._process: subprocess.Popen[str] | None = None
        self._log = open(self.folder / "collect.log", "a", encoding="utf-8")
        self.starts = 0

    def _in(self, namespace: str) -> list[str]:
        return ["ip", "netns", "exec", namespace] if self.namespaces else []

    def start(self, may_fail: bool = False) -> bool:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        namespace = self._in(self.namespaces.collector) if self.namespaces else []
        environment = {**os.environ, **self.bad_machine}
        if self.bad_machine:
            environment["LD_PRELOAD"] = str(self.programs / "uc_bad_machine.so")
        self._process = subprocess.Popen(
            [*namespace, str(self.programs / "undercroft"), "collect", "--store", str(self.store), "--key-file", str(self.folder / "key"),
             "--listen", self.address, "--ready-file", str(ready), "--metrics-file", str(self.folder / "metrics.json"), *self.arguments],
            stdout=self._log, stderr=self._log, text=True, env=environment)
        self.starts += 1
        end = time.monotonic() + 30
        while not ready.exists():
            if self._process.poll() is not None:
                if may_fail:
                    return False
                raise RigError(f"the collector ended with {self._process.returncode} (see {self._log.name})")
            if time.monotonic() > end:
                raise RigError("the collector did not start within 30 s")
            time.sleep(0.005)
        return True

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self, allowed: tuple[int, ...] = (0,), timeout: float = 60) -> int:
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout)
        if code not in allowed:
            raise RigError(f"the collector ended with {code} (see {self._log.name})")
        return code

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def load(self, load: Load, to: str | None = None) -> subprocess.Popen[str]:
        namespace = self._in(self.namespaces.sensor) if self.namespaces else []
        return subprocess.Popen(
            [*namespace, str(self.programs / "uc_sensor_load"), "--to", to or self.address, "--key-file", str(self.folder / "key"),
             "--sensors", str(load.sensors), "--shape", load.shape, "--records", str(load.records), "--rate", str(load.rate), "--seconds", str(load.seconds),
             "--seed", str(load.seed), "--distinct", str(load.distinct), "--gap-every", str(load.gap_every),
             "--give-up", str(load.give_up), "--base-time-ns", str(load.base_time_ns), "--summary", str(self.folder / "sent.json")],
            stdout=subprocess.PIPE, text=True)

    def finish(self, load: subprocess.Popen[str], timeout: float = 120) -> dict[str, object]:
        """Waits until every slot is acknowledged, stops the collector and compares. What was sent, and how it went."""
        out, _ = load.communicate(timeout=timeout)
        if load.returncode != 0:
            raise RigError(f"the load was not acknowledged in full: {out.strip()}")
        self.stop(timeout=timeout)  # what is still in the journal becomes Parquet
        return {**json.loads(out), **self.check()}

    def check(self, *flags: str) -> dict[str, object]:
        done = subprocess.run([str(self.programs / "uc_store_check"), str(self.store), str(self.folder / "sent.json"), *flags],
                              capture_output=True, text=True, check=False)
        lines = done.stdout.strip().splitlines()
        if done.returncode != 0:
            raise RigError("the store is not what was sent:\n  " + "\n  ".join(lines[:8]) + done.stderr)
        self.fsck()
        return {f"stored_{name}": value for name, value in json.loads(lines[-1]).items()}

    def fsck(self, *flags: str, expect: int = 0) -> dict[str, object]:
        done = subprocess.run([str(self.programs / "undercroft"), "fsck", "--json", *flags, str(self.store)], capture_output=True, text=True, check=False)
        if done.returncode != expect:
            raise RigError(f"undercroft fsck ended with {done.returncode}, wanted {expect}: {done.stdout[:800]}{done.stderr}")
        return json.loads(done.stdout)

    def metrics(self) -> dict[str, int]:
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    def metrics_or_empty(self) -> dict[str, int]:
        """Before the first second is over there are none."""
        return self.metrics() if (self.folder / "metrics.json").exists() else {}

    def close(self) -> None:
        self.kill()
        self._log.close()
