#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""bochs_run.py make RUN | judge RUN [--build FOLDER]

The same as run.py for runs in Bochs: `make` performs a run in BUILD/witness/bochs_RUN, `judge` says what is to be
thought of it; the run `figures` is counted instead (figures.py), as JSON. Exit code 0: holds; 1: does not; 2: could not be made.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.bochs import BochsError  # noqa: E402
from testbed.collector import CollectorError  # noqa: E402
from testbed.grub import GrubError  # noqa: E402
from testbed.linux_image import ImageError  # noqa: E402
from testbed.witness import bochs_check, bochs_memory, bochs_rig, figures, rig  # noqa: E402
from testbed.witness.bochs_counts import CountError  # noqa: E402
from testbed.witness.bochs_rig import Setup  # noqa: E402
from testbed.witness.memory_types import MtrrError  # noqa: E402
from testbed.witness.nested_tables import TableError  # noqa: E402
from testbed.witness.rig import Build, RigError  # noqa: E402
from testbed.witness.store import StoreError  # noqa: E402

WORKLOAD = str(Path(__file__).resolve().parent / "workloads/bochs.sh")
RUNS = {
    "bare_uefi": Setup(WORKLOAD, "uefi", sensor=False, collector=False),
    "bare_bios": Setup(WORKLOAD, "bios", cpus=2, sensor=False, collector=False),
    "uefi": Setup(WORKLOAD, "uefi", dumps=True),
    "bios": Setup(WORKLOAD, "bios", cpus=2, dumps=True),
    "memory": bochs_memory.SETUP,
    "figures": figures.VMX,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "judge"])
    parser.add_argument("name", choices=list(RUNS))
    parser.add_argument("--build", type=Path, default=rig.default_build())
    options = parser.parse_args()
    build = Build(options.build.resolve())
    folder = build.folder / "witness" / f"bochs_{options.name}"
    try:
        if options.action == "make":
            run = bochs_rig.perform(RUNS[options.name], build, folder)
            print(f"{options.name}: the machine ended by itself after {run.facts['seconds']} s; {folder}")
            return 0
        run = rig.load(folder)
        if options.name == "figures":
            print(json.dumps(figures.of_vmx(run).figures("vmx"), indent=1))
            return 0
        if options.name == "memory":
            verdict = bochs_memory.check(run, build)
        else:
            verdict = bochs_check.whole(run, build) if RUNS[options.name].sensor else bochs_check.bare(run)
    except (RigError, StoreError, CountError, MtrrError, TableError, BochsError, GrubError, ImageError, CollectorError, OSError) as error:
        return rig.complain(error)
    print(verdict)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
