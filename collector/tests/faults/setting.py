# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""What the cases of the matrix share."""
from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from collector.tests.faults.rig import Load, Namespaces, Rig, RigError
from testbed.faults import Faults, UdpFaultProxy

Case = Callable[["Matrix"], dict[str, object]]


class Skip(Exception):
    """The machine cannot show this fault."""


def bound_repeats(result: dict[str, object], unavoidable: float) -> None:
    """Repeats must not make a bad path worse: sent over useful stays below one and a half times what nobody can avoid, and
    some for what is on its way when a short run begins and ends. Adds that figure to the result."""
    sent, repeated = int(result["datagrams"]), int(result["resent"])  # type: ignore[call-overload]
    result["sent_over_useful"] = round(sent / (sent - repeated), 3)
    if result["sent_over_useful"] > 1.5 * unavoidable + 0.25:
        raise RigError(f"{sent} datagrams sent for {sent - repeated} useful ones; {unavoidable:.2f} would have been unavoidable")


class Matrix:
    def __init__(self, programs: Path, folder: Path, soak: bool) -> None:
        self.programs, self.folder, self.soak = programs, folder, soak
        self.random = random.Random(20)
        self._rigs: list[Rig] = []

    def rig(self, namespaces: Namespaces | None = None, **settings: object) -> Rig:
        made = Rig(self.programs, self.folder / f"run{len(self._rigs) + 1}", namespaces, **settings)  # type: ignore[arg-type]
        self._rigs.append(made)
        return made

    def close(self) -> None:
        """A case that failed leaves no process behind."""
        for rig in self._rigs:
            rig.close()

    def cable(self) -> Namespaces:
        if why := Namespaces.why_not():
            raise Skip(why)
        return Namespaces()

    def over_bad_path(self, netem: tuple[str, ...], faults: Faults, load: Load, least: str) -> dict[str, object]:
        """Over netem where there is any, else through the proxy. `least`: the count that proves that the fault was there."""
        namespaces = None if Namespaces.why_not() else Namespaces()
        try:
            if namespaces and namespaces.impair("netem", *netem):
                rig = self.rig(namespaces)
                rig.start()
                result = rig.finish(rig.load(load))
                rig.close()
                return {"path": "netem " + " ".join(netem), **result}
        finally:
            if namespaces:
                namespaces.close()
        rig = self.rig()
        rig.start()
        host, port = rig.address.split(":")
        proxy = UdpFaultProxy((host, int(port)), faults, seed=7).start()
        try:
            result = rig.finish(rig.load(load, to=f"127.0.0.1:{proxy.port}"))
        finally:
            counts = proxy.stop()
            rig.close()
        if counts["to_collector"][least] == 0:
            raise RigError(f"the proxy did nothing: {counts}")
        bound_repeats(result, 1 / (1 - faults.drop))
        return {"path": f"proxy, {least} {counts['to_collector'][least]} of {counts['to_collector']['received']}", **result}
