#!/usr/bin/env python3
# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Manual pages are clean and name every option; completion offers what the program takes; the configuration that is
printed is one that is taken.

usage: manual_test.py MANUAL_FOLDER BUILD_BIN
"""
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

MANUAL, BIN = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
UNDERCROFT = BIN / "undercroft"


def run(*command: object, code: int = 0) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != code:
        raise AssertionError(f"{command}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def options_in_help(*command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", run(UNDERCROFT, *command, "--help")))


class Pages(unittest.TestCase):
    def test_mandoc_has_nothing_to_say(self) -> None:
        pages = sorted((MANUAL / "man").glob("*.1"))
        self.assertGreater(len(pages), 5)
        for page in pages:
            self.assertEqual(run("mandoc", "-Tlint", "-Wwarning", page), "", page.name)

    def test_every_option_is_explained(self) -> None:
        for command in ("collect", "heatmap", "preflight", "info"):
            page = run("mandoc", "-Tascii", MANUAL / "man" / f"undercroft-{command}.1")
            page = re.sub(".\b", "", page)
            missing = {option for option in options_in_help(command) if option not in page}
            self.assertEqual(missing, set(), command)

    def test_every_command_has_a_page(self) -> None:
        commands = re.findall(r"^  ([a-z]+) ", run(UNDERCROFT, "--help").split("Subcommands:")[1], re.MULTILINE)
        self.assertIn("collect", commands)
        for command in commands:
            self.assertTrue((MANUAL / "man" / f"undercroft-{command}.1").is_file(), command)


class Bash(unittest.TestCase):
    def complete(self, *words: str, folder: str = ".") -> list[str]:
        """What bash would offer behind these words, the last of which is being typed."""
        script = (f'source "{MANUAL}/bash/{words[0]}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _{words[0]}; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
                              cwd=folder, timeout=30)
        self.assertEqual(done.stderr, "")
        return sorted(done.stdout.split())

    def test_is_registered(self) -> None:
        out = run("bash", "--norc", "-c", f'source "{MANUAL}/bash/undercroft"; complete -p undercroft')
        self.assertIn("-F _undercroft undercroft", out)

    def test_commands(self) -> None:
        self.assertEqual(self.complete("undercroft", "coll"), ["collect"])
        self.assertIn("check", self.complete("undercroft", "config", ""))
        self.assertIn("status", self.complete("ucctl", ""))

    def test_options_are_those_of_the_help(self) -> None:
        self.assertEqual(set(self.complete("undercroft", "collect", "--")), options_in_help("collect"))
        self.assertEqual(set(self.complete("undercroft", "preflight", "collector", "--")),
                         options_in_help("preflight", "collector"))

    def test_values(self) -> None:
        self.assertEqual(self.complete("undercroft", "collect", "--log-format", "j"), ["journald-priority", "json"])
        self.assertEqual(self.complete("undercroft", "collect", "--roll-rows", ""), [])
        # A value that looks like a command is a value.
        self.assertIn("--roll-time", self.complete("undercroft", "collect", "--store", "info", "--roll-t"))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "stores").mkdir()
            (Path(folder) / "stored.txt").write_text("")
            self.assertEqual(self.complete("undercroft", "collect", "--store", "st", folder=folder), ["stores"])
            self.assertEqual(self.complete("undercroft", "collect", "--config", "st", folder=folder),
                             ["stored.txt", "stores"])
            self.assertEqual(self.complete("undercroft", "config", "check", "stored", folder=folder), ["stored.txt"])

    def test_zsh_reads_its_own(self) -> None:
        for name in ("undercroft", "ucctl"):
            self.assertEqual(run("zsh", "-n", MANUAL / "zsh" / f"_{name}"), "")
            self.assertEqual((MANUAL / "zsh" / f"_{name}").read_text().splitlines()[0], f"#compdef {name}")


class Configuration(unittest.TestCase):
    def test_every_option_has_a_key(self) -> None:
        text = run(UNDERCROFT, "collect", "--print-config")
        commented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
        keys = {f"{table}-{key}".replace("_", "-") for table, values in tomllib.loads(commented).items()
                if isinstance(values, dict) for key in values}
        keys |= {key.split("-", 1)[1] for key in keys}
        # One of an option's names is the key.
        groups = re.findall(r"^\s+(?:-\w,)?(--[\w,-]+)", run(UNDERCROFT, "collect", "--help"), re.MULTILINE)
        self.assertGreater(len(groups), 12)
        for group in groups:
            names = {name.removeprefix("--") for name in group.split(",")}
            if not names & {"help", "config", "print-config"}:
                self.assertTrue(names & keys, f"{group} has no key")

    def test_what_is_printed_is_taken_and_says_the_same(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "u.toml"
            file.write_text(run(UNDERCROFT, "collect", "--store", "/a", "--key-file", "/b", "--roll-time", "2 min",
                                "--machine", "00112233445566778899aabbccddeeff", "--print-config"))
            self.assertIn(": no mistakes in ", run(UNDERCROFT, "config", "check", file))
            again = run(UNDERCROFT, "collect", "--config", file, "--print-config")
            self.assertEqual(again, file.read_text())
            self.assertEqual(tomllib.loads(again)["store"]["roll_time"], "120 s")
            # The command line wins.
            other = tomllib.loads(run(UNDERCROFT, "collect", "--config", file, "--roll-time", "7", "--print-config"))
            self.assertEqual(other["store"]["roll_time"], "7 s")

    def test_mistakes_have_a_place(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "u.toml"
            file.write_text("[store]\nfolder = '/a'\nrol_time = 3\n")
            expected = f"{file}:3:1: there is no setting 'rol_time' in [store]; did you mean 'roll_time'?\n"
            self.assertEqual(run(UNDERCROFT, "config", "check", file, code=1), expected)
            self.assertNotEqual(subprocess.run([UNDERCROFT, "collect", "--config", file], capture_output=True,
                                               check=False).returncode, 0)
            done = subprocess.run([UNDERCROFT, "collect", "--config", file], capture_output=True, text=True, check=False)
            self.assertEqual(done.stderr, expected)


if __name__ == "__main__":
    unittest.main()
