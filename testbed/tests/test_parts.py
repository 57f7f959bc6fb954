# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Cache, choice of accelerator, collector, processes, workloads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from testbed import accel, cache, collector, run, session

FAKE_COLLECTOR = """#!{python}
import json, os, signal, sys, time
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert len(open(options["--key-file"]).read().strip()) == 64
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(options["--ready-file"], "w").write(options["--listen"])
for number in range(10000):
    with open(options["--metrics-file"] + ".new", "w") as new:
        new.write(json.dumps({{"fragments_received": min(number, 5)}}))
    os.replace(new.name, options["--metrics-file"])
    time.sleep(0.02)
"""


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        patched = mock.patch.dict(os.environ, {"UNDERCROFT_CACHE": str(self.folder / "cache")})
        patched.start()
        self.addCleanup(patched.stop)

    def program(self, text: str) -> Path:
        path = self.folder / "program"
        path.write_text(text)
        path.chmod(0o755)
        return path


class CacheTest(Folder):
    def test_made_once_even_when_asked_twice_at_once(self) -> None:
        made: list[int] = []

        def make(folder: Path) -> None:
            made.append(1)
            time.sleep(0.2)
            (folder / "x").write_text("y")

        threads = [threading.Thread(target=cache.build, args=("kind", "name", make)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(made), 1)
        self.assertEqual((cache.build("kind", "name", make) / "x").read_text(), "y")

    def test_a_failure_leaves_nothing_half_made(self) -> None:
        def fail(folder: Path) -> None:
            (folder / "half").write_text("")
            raise RuntimeError("no")

        with self.assertRaises(RuntimeError):
            cache.build("kind", "name", fail)
        self.assertEqual(list(cache.build("kind", "name", lambda folder: None).iterdir()), [])

    def test_key_follows_contents(self) -> None:
        file = self.folder / "input"
        file.write_text("one")
        first = cache.key("a", file)
        self.assertEqual(first, cache.key("a", file))
        file.write_text("two")
        self.assertNotEqual(first, cache.key("a", file))
        self.assertNotEqual(cache.key("ab", "c"), cache.key("a", "bc"))

    def test_old_ones_go(self) -> None:
        for number in range(12):
            cache.build("kind", f"name{number}", lambda folder: None)
        self.assertEqual(len(list((cache.root() / "testbed/kind").iterdir())), 9)


class AcceleratorTest(Folder):
    def test_a_device_file_alone_is_not_enough(self) -> None:
        with mock.patch.object(accel.os, "access", return_value=True), \
                mock.patch.object(accel, "nested_svm_offered", return_value=False):
            choice = accel.choose("auto")
        self.assertEqual(choice.accelerator, "tcg")

    def test_the_probe_decides_and_is_remembered(self) -> None:
        answers = [accel.Choice("kvm", "booted")]
        with mock.patch.object(accel.os, "access", return_value=True), \
                mock.patch.object(accel, "nested_svm_offered", return_value=True), \
                mock.patch.object(accel, "probe", side_effect=answers) as probe:
            self.assertEqual(accel.choose("auto").accelerator, "kvm")
            self.assertEqual(accel.choose("auto").accelerator, "kvm")
        probe.assert_called_once()

    def test_a_guest_that_hangs_or_lacks_svm_means_tcg(self) -> None:
        hung, plain, good = run.Outcome(state="timeout"), run.Outcome(state="finished"), run.Outcome(state="finished")
        plain.results.append({"name": "svm", "value": False})
        good.results.append({"name": "svm", "value": True})
        for outcome, expected in ((hung, "tcg"), (plain, "tcg"), (good, "kvm")):
            with mock.patch.object(session.Session, "run", return_value=outcome):
                self.assertEqual(accel.probe().accelerator, expected)

    def test_a_wish_is_followed(self) -> None:
        self.assertEqual(accel.choose("kvm").accelerator, "kvm")


class CollectorTest(Folder):
    def test_started_drained_stopped(self) -> None:
        program = self.program(FAKE_COLLECTOR.format(python=sys.executable))
        with mock.patch.object(collector, "QUIET_SECONDS", 0.3):
            with collector.Collector(program, self.folder, collector.Identity()) as running:
                self.assertTrue(running.wait_until_quiet(10))
                self.assertEqual(running.metrics()["fragments_received"], 5)
        self.assertEqual(running.exit_code, 0)

    def test_failing_to_start_says_why(self) -> None:
        program = self.program("#!/bin/sh\necho port taken >&2; exit 3\n")
        with self.assertRaisesRegex(collector.CollectorError, "port taken"):
            with collector.Collector(program, self.folder, collector.Identity()):
                self.fail("must not run")

    def test_configuration(self) -> None:
        identity = collector.Identity("0" * 32, "1" * 64, "2" * 64)
        lines = collector.sensor_config(identity, 9000, {"mode": "header", "log_level": "debug"}).splitlines()
        self.assertIn("collector = 10.0.2.2:9000", lines)
        self.assertIn("mode = header", lines)
        self.assertEqual([line for line in lines if line.startswith("log_level")], ["log_level = debug"])


class ProcessTest(unittest.TestCase):
    def test_a_stubborn_child_is_killed(self) -> None:
        process = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"],
                                   stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        run.stop(process, patience=0.2)
        process.stdout.close()
        self.assertEqual(process.returncode, -9)


class WorkloadTest(unittest.TestCase):
    def test_every_workload_is_a_sound_script(self) -> None:
        scripts = [*sorted((cache.SOURCE_ROOT / "workloads").glob("*.sh")), cache.SOURCE_ROOT / "guest/undercroft.sh",
                   cache.SOURCE_ROOT / "guest/init"]
        self.assertGreater(len(scripts), 8)
        for script in scripts:
            checked = subprocess.run(["busybox", "sh", "-n", str(script)], capture_output=True, text=True, check=False)
            self.assertEqual((script.name, checked.returncode, checked.stderr), (script.name, 0, ""))

    def test_unknown_workloads_list_the_known(self) -> None:
        with self.assertRaisesRegex(FileNotFoundError, "fio-mix"):
            session.workload_path("no-such")


if __name__ == "__main__":
    unittest.main()
