# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the collector's rates are held against: a receive loop that does nothing, the disk alone, tcpdump."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from collector.tests.faults.rig import RigError, free_port


def blast(programs: Path, folder: Path, port: int, seconds: float) -> None:
    """Datagrams that were sealed beforehand, as fast as the kernel takes them."""
    subprocess.run([str(programs / "uc_sensor_load"), "--to", f"127.0.0.1:{port}", "--key-file", str(folder / "key"), "--sensors", "8", "--blast",
                    "--prepared", "16", "--seconds", str(seconds), "--give-up", str(seconds)], capture_output=True, check=False)


def sink(programs: Path, folder: Path, seconds: float, gro: bool) -> dict[str, float]:
    """MB/s of UDP payload that arrive in a loop that does nothing with them, and its processor time for each KB."""
    port = free_port()
    receiver = subprocess.Popen([str(programs / "uc_udp_sink"), str(port), str(seconds + 1), *(["gro"] if gro else [])], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout and receiver.stdout.readline().strip() == "ready"
    blast(programs, folder, port, seconds)
    result = json.loads(receiver.stdout.read())
    _, _, usage = os.wait4(receiver.pid, 0)
    receiver.returncode = 0
    return {"mb_per_s": result["megabytes_per_second"], "cpu_ns_per_kb": (usage.ru_utime + usage.ru_stime) * 1e12 / max(result["bytes"], 1)}


def disk(folder: Path, mib: int) -> float:
    """MB/s of sequential writing with a sync at the end: through the page cache or past it, whichever is faster."""
    target = folder / "fio.bin"
    rates = []
    for way in (["--direct=0", "--bs=1M"], ["--direct=1", "--bs=4M"]):
        done = subprocess.run(["fio", "--name=sequential", f"--filename={target}", "--rw=write", *way, f"--size={mib}M", "--ioengine=psync",
                               "--end_fsync=1", "--output-format=json"], capture_output=True, text=True, check=False)
        target.unlink(missing_ok=True)
        if done.returncode == 0:  # a file system may have no direct transfers
            rates.append(json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]["write"]["bw_bytes"] / 1e6)
    if not rates:
        raise RigError("fio wrote nothing")
    return max(rates)


def tcpdump(programs: Path, folder: Path, seconds: float) -> dict[str, float]:
    """The same blast written down by tcpdump: what it keeps, and what share of the packets it misses. No seal is checked, nothing is synced."""
    if shutil.which("tcpdump") is None or os.geteuid() != 0:
        return {}
    port = free_port()
    target = folder / "capture.pcap"
    receiver = subprocess.Popen([str(programs / "uc_udp_sink"), str(port), str(seconds + 3)], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout and receiver.stdout.readline().strip() == "ready"
    capture = subprocess.Popen(["tcpdump", "-Z", "root", "-i", "lo", "-B", "65536", "-w", str(target), f"udp dst port {port}"], stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    blast(programs, folder, port, seconds)
    time.sleep(0.5)
    capture.terminate()
    _, said = capture.communicate(timeout=30)
    receiver.communicate(timeout=30)
    kept = target.stat().st_size
    target.unlink()
    counts = {name: int(found[1]) for name in ("captured", "received by filter", "dropped by kernel") if (found := re.search(rf"(\d+) packets? {name}", said))}
    if "captured" not in counts:
        raise RigError(f"tcpdump: {said}")
    missed = counts.get("dropped by kernel", 0)
    return {"mb_per_s": kept / seconds / 1e6, "share_dropped": missed / max(counts["captured"] + missed, 1)}
