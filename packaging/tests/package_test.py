#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The Debian packages: made, judged by lintian, installed into a folder of its own by dpkg, used there, removed.

usage: package_test.py BUILD
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from serving import Serving

BUILD = Path(sys.argv.pop(1)).resolve()
ALLOWED_EXPOSURE = 20  # systemd-analyze security, of 100; nothing set at all is 96


def run(*command: object, code: int = 0, **more: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=240, **more)
    if done.returncode != code:
        raise AssertionError(f"{command}: exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="undercroft-packages-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run("cpack", "-G", "DEB", "-B", cls.folder / "cpack", "-D", f"CPACK_OUTPUT_FILE_PREFIX={cls.folder}", cwd=BUILD)
        cls.packages = {path.name.split("_")[0]: path for path in sorted(cls.folder.rglob("undercroft-*.deb"))}
        cls.root = cls.folder / "root"
        for part in ("info", "updates", "triggers"):
            (cls.root / "var/lib/dpkg" / part).mkdir(parents=True)
        (cls.root / "var/lib/dpkg/status").write_text("")
        run(*cls.dpkg("--install", *cls.packages.values()), env=cls.environment())

    @classmethod
    def dpkg(cls, *arguments: object) -> list[object]:
        # The scripts of the packages run outside the root and see DPKG_ROOT; dependencies are not there.
        return ["dpkg", f"--root={cls.root}", f"--log={cls.folder}/dpkg.log", "--force-script-chrootless",
                "--force-depends", "--force-not-root", *arguments]

    @staticmethod
    def environment() -> dict[str, str]:
        return os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def test_lintian_finds_no_error(self) -> None:
        out = run("lintian", "--fail-on=error", "--tag-display-limit=0", "--allow-root", *self.packages.values())
        self.assertNotRegex(out, r"(?m)^E:")

    def test_what_they_hold(self) -> None:
        self.assertEqual(sorted(self.packages), ["undercroft-collector", "undercroft-sensor"])
        for name in ("usr/bin/undercroft", "usr/bin/ucctl", "usr/lib/undercroft-sensor/undercroft.efi",
                     "usr/lib/undercroft-sensor/undercroft.mb2", "usr/lib/undercroft-sensor/core.elf",
                     "etc/undercroft/collector.toml", "lib/systemd/system/undercroft-collector.service",
                     "usr/share/man/man1/undercroft-collect.1.gz", "usr/share/man/man1/ucctl.1.gz",
                     "usr/share/bash-completion/completions/undercroft", "usr/share/zsh/vendor-completions/_undercroft",
                     "usr/share/undercroft-collector/grafana/undercroft.json",
                     "usr/share/doc/undercroft-collector/copyright"):
            self.assertTrue((self.root / name).is_file(), name)
        depends = run("dpkg-deb", "--field", self.packages["undercroft-collector"], "Depends")
        self.assertIn("libspdlog", depends)
        self.assertIn("libc6", depends)
        listing = run("dpkg-deb", "--contents", self.packages["undercroft-collector"])
        self.assertEqual({line.split()[1] for line in listing.splitlines()}, {"root/root"})

    def test_the_program_runs_from_there_with_its_own_libraries(self) -> None:
        program = self.root / "usr/bin/undercroft"
        libraries = run("ldd", program)
        for name in ("arrow", "parquet"):
            self.assertRegex(libraries, rf"lib{name}\.so\.\d+ => {re.escape(str(self.root))}/usr/")
        self.assertRegex(run(program, "--version"), r"^undercroft \d")
        self.assertIn("no mistakes", run(program, "config", "check", self.root / "etc/undercroft/collector.toml"))
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            serving = Serving(program, Path(folder), "--config", str(self.root / "etc/undercroft/collector.toml"))
            try:
                serving.generate(BUILD / "bin/undercroft-generate", 2000)
                self.assertEqual(serving.stop(), 0)
            finally:
                serving.process.kill()
                serving.process.wait()
            self.assertTrue(serving.log.read_text().startswith("<6>metrics on "))
            self.assertIn("2000", run(program, "info", Path(folder) / "store"))

    def test_the_unit_is_sound(self) -> None:
        unit = self.root / "lib/systemd/system/undercroft-collector.service"
        # Only the unit itself is judged: its programs and the targets are those of this machine.
        text = unit.read_text().replace("/usr/bin/undercroft", str(self.root / "usr/bin/undercroft"))
        copy = self.folder / "undercroft-collector.service"
        copy.write_text(text)
        self.assertEqual(run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy), "")
        out = run("systemd-analyze", "security", "--offline=true", f"--threshold={ALLOWED_EXPOSURE}", "--no-pager", copy)
        self.assertIn("Overall exposure level", out)

    def test_removal_leaves_the_configuration_and_purge_nothing(self) -> None:
        root = self.folder / "second"
        shutil.copytree(self.root, root, symlinks=True)
        dpkg = [word if word != f"--root={self.root}" else f"--root={root}" for word in self.dpkg()]
        run(*dpkg, "--remove", "undercroft-collector", env=self.environment())
        self.assertFalse((root / "usr/bin/undercroft").exists())
        self.assertTrue((root / "etc/undercroft/collector.toml").exists())
        self.assertTrue((root / "usr/bin/ucctl").exists())
        run(*dpkg, "--purge", "undercroft-collector", "undercroft-sensor", env=self.environment())
        left = [str(path.relative_to(root)) for path in root.rglob("*")
                if path.is_file() and not path.is_relative_to(root / "var/lib/dpkg")]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main()
