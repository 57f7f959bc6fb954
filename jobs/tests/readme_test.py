# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The commands of README's "Collect from real machines" and "Put it on HDFS" and of jobs/README.md, run as they are written,
end with data in Parquet on HDFS and the results of Spark jobs.

usage: readme_test.py BUILD_BIN; the repository's root must be the working directory.
Ends with 77 (skipped) where Hadoop or PySpark is not installed (make setup-hdfs).
"""
from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.getcwd())
from testbed.hdfs import hadoop_folder, spark_python  # noqa: E402

SKIPPED = 77
SECTIONS = (("README.md", "Collect from real machines"), ("README.md", "Put it on HDFS"), ("jobs/README.md", "Running them"))
LOOK = """
hdfs_list() { python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())' "http://${WEBHDFS#webhdfs://}/webhdfs/v1$1?op=LISTSTATUS&user.name=$HDFS_USER"; }
for folder in activity features training; do hdfs_list /results/$folder > $PLACE/$folder.json; done
"""


def commands(file: str, section: str) -> str:
    """The shell blocks of a section."""
    text = Path(file).read_text(encoding="utf-8")
    part = text.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
    if not blocks:
        raise SystemExit(f"{file}: no commands under {section}")
    return "".join(blocks)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(script: str, place: Path) -> str:
    """In a process group of its own, which is ended afterwards: the cluster stays behind as it would for a user."""
    environment = {**os.environ, "PLACE": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(["bash", "-eu", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
                               start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        out, _ = process.communicate(timeout=460)
    finally:
        for wanted in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, wanted)
            except ProcessLookupError:
                break
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
    if process.returncode != 0:
        raise SystemExit(f"the commands ended with {process.returncode}:\n{out[-5000:]}")
    return out


def main() -> int:
    programs = Path(sys.argv[1]).resolve()
    if hadoop_folder() is None or spark_python() is None:
        print("skipped: Hadoop or PySpark is not installed (make setup-hdfs)")
        return SKIPPED
    script = "\n".join(commands(*section) for section in SECTIONS)
    # What is installed is not installed again; the programs are where the test says, the port one that is free.
    script = "\n".join(line for line in script.splitlines() if not line.startswith("make "))
    script = script.replace("build/bin/", f"{programs}/").replace(":4710", f":{free_port()}")
    # The jobs that go on in the background keep the output open.
    script = script.replace("> $PLACE/hdfs.env &", "> $PLACE/hdfs.env 2> $PLACE/hdfs.log &").replace("--ready-file $PLACE/ready &", "--ready-file $PLACE/ready > $PLACE/collect.log 2>&1 &")
    with tempfile.TemporaryDirectory(prefix="undercroft-readme-") as work:
        place = Path(work)
        out = run("set -m\n" + script + LOOK + "kill %%\nwait || true\n", place)
        print(out[-3000:])
        for folder in ("activity", "features", "training"):
            statuses = json.loads((place / f"{folder}.json").read_text(encoding="utf-8"))["FileStatuses"]["FileStatus"]
            if not any(status["pathSuffix"].startswith("part-") and status["length"] > 0 for status in statuses):
                raise SystemExit(f"{folder}: no result in HDFS: {statuses}")
        heat = json.loads((place / "heatmap.json").read_text(encoding="utf-8"))
        shown = heat["totals"]["write"]["shown"]
        if shown == 0 or "write_requests" not in out:
            raise SystemExit("Spark counted nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
