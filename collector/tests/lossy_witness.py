#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The store is complete and exactly-once with 20 % of the datagrams dropped, 20 % duplicated and 20 % reordered,
both ways, and the collector killed with SIGKILL twice.

usage: lossy_witness.py BUILD_BIN
"""
import json
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time

from lossy_proxy import LossyProxy
from store_check import Expected, check_store

MACHINE = "00112233445566778899aabbccddeeff"
BOOT = "ffeeddccbbaa99887766554433221100"
RECORDS = 24_000
RATE = 3_000
SEED = 77
DISTINCT = 500
KILL_AFTER_S = (3.0, 5.5)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Collector:
    def __init__(self, program: pathlib.Path, folder: pathlib.Path, port: int) -> None:
        self._ready = folder / "ready"
        self._ready.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [program, "collect", "--store", folder / "store", "--key-file", folder / "key", "--listen",
             f"127.0.0.1:{port}", "--roll-rows", "1500", "--roll-seconds", "1", "--ready-file", self._ready],
            stdout=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the collector did not start")
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        if self.process.returncode != 0:
            raise RuntimeError(f"the collector ended with {self.process.returncode}")
        return out


def run(bin_folder: pathlib.Path, folder: pathlib.Path) -> list[str]:
    (folder / "key").write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    port = free_port()
    collector = Collector(bin_folder / "undercroft", folder, port)
    proxy = LossyProxy(port, 0.2, SEED)
    proxy.start()
    start = time.monotonic()
    generator = subprocess.Popen(
        [bin_folder / "undercroft-generate", "--to", f"127.0.0.1:{proxy.port}", "--key-file", folder / "key",
         "--machine", MACHINE, "--boot", BOOT, "--records", str(RECORDS), "--rate", str(RATE), "--content",
         "--seed", str(SEED), "--distinct", str(DISTINCT), "--gap-every", "20", "--slot-bytes", "16384", "--window",
         "64"], stdout=subprocess.PIPE, text=True)
    try:
        for kill_at in KILL_AFTER_S:
            time.sleep(max(0.0, start + kill_at - time.monotonic()))
            if generator.poll() is not None:
                return ["the generator was done before the collector was killed"]
            collector.kill()
            collector = Collector(bin_folder / "undercroft", folder, port)
        out, _ = generator.communicate(timeout=45)
        summary = json.loads(out)
        print(collector.stop())
    finally:
        generator.kill()
        collector.kill()
        proxy.stop()
    print("path:", proxy.counts)
    print("generator:", {key: value for key, value in summary.items() if key != "gaps"}, len(summary["gaps"]), "gaps")
    if not summary["complete"]:
        return ["not every slot was acknowledged"]
    problems = check_store(folder / "store", MACHINE, BOOT, Expected(SEED, True, DISTINCT), summary)
    hello = folder / "store" / f"machine={MACHINE}" / f"boot={BOOT}" / "hello.json"
    if json.loads(hello.read_text(encoding="utf-8"))["sensor_version"] != "generator":
        problems.append("hello.json does not say what the generator said")
    return problems


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="undercroft-witness-") as folder:
        problems = run(pathlib.Path(sys.argv[1]), pathlib.Path(folder))
    for problem in problems[:20]:
        print("WRONG:", problem)
    print(f"{len(problems)} problems" if problems else f"{RECORDS} records, each exactly once")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
