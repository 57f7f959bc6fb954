# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Faults of the path between sensors and collector, and strangers on it."""
from __future__ import annotations

import json
import random
import socket
import subprocess
import time

from collector.tests.faults.rig import Load, RigError
from collector.tests.faults.setting import Case, Matrix, Skip, bound_repeats
from testbed.faults import Faults, UdpFaultProxy


def loss(percent: float) -> Case:
    def case(matrix: Matrix) -> dict[str, object]:
        return matrix.over_bad_path(("loss", f"{percent}%"), Faults(drop=percent / 100), Load(gap_every=9), "dropped")
    return case


def reorder(matrix: Matrix) -> dict[str, object]:
    return matrix.over_bad_path(("delay", "10ms", "reorder", "75%", "50%"), Faults(reorder=0.3), Load(), "overtaken")


def duplicate(matrix: Matrix) -> dict[str, object]:
    return matrix.over_bad_path(("duplicate", "30%"), Faults(duplicate=0.3), Load(), "duplicated")


def delay(matrix: Matrix) -> dict[str, object]:
    return matrix.over_bad_path(("delay", "200ms", "20ms"), Faults(delay_s=0.2), Load(records=15_000), "received")


def everything(matrix: Matrix) -> dict[str, object]:
    load = Load(shape="blocks", records=400, rate=1000, gap_every=7)
    return matrix.over_bad_path(("loss", "5%", "duplicate", "5%", "delay", "20ms", "10ms"),
                                Faults(drop=0.05, duplicate=0.05, reorder=0.1, delay_s=0.02), load, "dropped")


def bandwidth(matrix: Matrix) -> dict[str, object]:
    """A cable of 20 Mbit/s with a queue of 100 ms for eight sensors that would like much more."""
    namespaces = matrix.cable()
    try:
        if not namespaces.impair("tbf", "rate", "20mbit", "burst", "64kbit", "latency", "100ms"):
            raise Skip("this kernel has no tc tbf")
        rig = matrix.rig(namespaces)
        rig.start()
        load = Load(sensors=8, records=60_000, rate=0)
        result = rig.finish(rig.load(load))
        rig.close()
        wire_mbit = float(result["bytes"]) * 8 / float(result["seconds"]) / 1e6  # type: ignore[arg-type]
        bound_repeats(result, 1.25)  # eight who look for their share of a short queue lose some all the time
        return {"path": "tbf 20 Mbit/s", "mbit_sent": round(wire_mbit, 1), **result}
    finally:
        namespaces.close()


def partition(matrix: Matrix) -> dict[str, object]:
    namespaces = matrix.cable()
    try:
        rig = matrix.rig(namespaces)
        rig.start()
        running = rig.load(Load(records=40_000, rate=40_000, give_up=120))
        time.sleep(1.0)
        namespaces.cable(up=False)
        away = 60.0 if matrix.soak else 6.0
        time.sleep(away)
        namespaces.cable(up=True)
        result = rig.finish(running, timeout=240)
        rig.close()
        return {"path": f"cable unplugged for {away:.0f} s", **result}
    finally:
        namespaces.close()


def replay(matrix: Matrix) -> dict[str, object]:
    """Somebody on the path has kept every datagram and sends them all again, from another address and in any order: while the
    sensors go on, after they are done, and to the next start of the collector. Nothing changes, and nobody is told anything."""
    rig = matrix.rig()
    rig.start()
    host, port = rig.address.split(":")
    proxy = UdpFaultProxy((host, int(port)), Faults(), keep_datagrams=True).start()
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.connect((host, int(port)))
    stranger.setblocking(False)

    def again() -> int:
        kept = list(proxy.datagrams)
        random.Random(3).shuffle(kept)
        for number, datagram in enumerate(kept):
            stranger.send(datagram)
            if number % 32 == 31:
                time.sleep(0.002)
        return len(kept)

    running = rig.load(Load(records=20_000, rate=40_000), to=f"127.0.0.1:{proxy.port}")
    time.sleep(1.0)
    repeated = again()
    out, _ = running.communicate(timeout=60)
    if running.returncode != 0:
        raise RigError(f"the load was not acknowledged in full: {out.strip()}")
    repeated += again()
    time.sleep(1.5)
    answers = 0
    try:
        while stranger.recv(2048):
            answers += 1
    except BlockingIOError:
        pass
    duplicates = rig.metrics()["fragments_duplicate"]
    rig.stop()
    before = rig.check()
    rig.start()
    repeated += again()
    time.sleep(1.5)
    rig.stop()
    after = rig.check()
    proxy.stop()
    stranger.close()
    if answers or after["stored_rows"] != before["stored_rows"] or duplicates == 0:
        raise RigError(f"{answers} answers to the stranger, {before['stored_rows']} rows and then {after['stored_rows']}, {duplicates} duplicates seen")
    return {"path": f"{repeated} old datagrams again", "repeated_datagrams": repeated, **json.loads(out), **after}


def many_sensors(matrix: Matrix) -> dict[str, object]:
    """64 sensors as fast as they are allowed to: none is left behind."""
    rig = matrix.rig(arguments=("--roll-seconds", "5"))
    rig.start()
    result = rig.finish(rig.load(Load(sensors=64, records=0, rate=0, seconds=3)), timeout=240)
    each = sorted(int(sensor["records"]) for sensor in json.loads((rig.folder / "sent.json").read_text(encoding="utf-8"))["sensors"])
    rig.close()
    mean = sum(each) / len(each)
    if len(each) != 64 or each[0] < mean / 4:
        raise RigError(f"of {len(each)} sensors the slowest brought {each[0]} records, all together {mean:.0f} each")
    return {"path": "64 sensors at full speed", "slowest_over_mean": round(each[0] / mean, 3), **result}


def strangers(matrix: Matrix) -> dict[str, object]:
    """A sensor with a wrong key and one that repeats old datagrams beside a good one."""
    rig = matrix.rig()
    rig.start()
    good_key = (rig.folder / "key").read_text(encoding="ascii")
    running = rig.load(Load(records=40_000, rate=40_000))
    wrong = rig.folder / "wrong"
    wrong.write_text("ab" * 32 + "\n", encoding="ascii")
    stranger = subprocess.Popen(
        [str(matrix.programs / "uc_sensor_load"), "--to", rig.address, "--key-file", str(wrong), "--sensors", "64", "--blast", "--seconds", "2",
         "--rate", "400000"], stdout=subprocess.PIPE, text=True)
    out, _ = stranger.communicate(timeout=30)
    assert (rig.folder / "key").read_text(encoding="ascii") == good_key
    result = rig.finish(running)
    refused = rig.metrics()["bad_tag"]
    folders = len(list(rig.store.glob("machine=*/boot=*")))
    rig.close()
    if refused == 0 or folders != 4:
        raise RigError(f"{refused} datagrams refused, {folders} sensors in the store")
    return {"path": f"{json.loads(out)['datagrams']} datagrams with a wrong key beside", "refused": refused, **result}
