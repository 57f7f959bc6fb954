# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A collector with its metrics open, and something for it to store."""
from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

MACHINE = "00112233445566778899aabbccddeeff"
BOOT = "ffeeddccbbaa99887766554433221100"


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Serving:
    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self.folder = folder
        self.udp, self.tcp = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        (folder / "key").write_text(secrets.token_hex(32) + "\n")
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "collect", "--store", folder / "store", "--key-file", folder / "key", "--listen",
                 f"127.0.0.1:{self.udp}", "--metrics-listen", f"127.0.0.1:{self.tcp}", "--ready-file", folder / "ready",
                 *options], stdout=subprocess.DEVNULL, stderr=log)
        end = time.monotonic() + 30
        while not (folder / "ready").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the collector did not start: " + self.log.read_text())
            time.sleep(0.02)

    def generate(self, generator: Path, records: int) -> None:
        subprocess.run(
            [generator, "--to", f"127.0.0.1:{self.udp}", "--key-file", self.folder / "key", "--machine", MACHINE, "--boot",
             BOOT, "--records", str(records), "--rate", "20000"], check=True, stdout=subprocess.DEVNULL, timeout=40)

    def metrics(self) -> str:
        for _ in range(50):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.tcp}/metrics", timeout=5) as answer:
                    return answer.read().decode()
            except ConnectionRefusedError:
                time.sleep(0.1)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                time.sleep(0.1)
        raise RuntimeError("nobody listens for metrics: " + self.log.read_text())

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=30)

    def log_lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]
