# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""undercroft import, train, evaluate and detect on small synthetic runs, as a user calls them."""
from __future__ import annotations

import json
import random
import tempfile
import unittest
from pathlib import Path

import pyarrow.dataset as ds
import run_program
from run_program import bad, good, run


def write_run(folder: Path, seed: int, encrypts: bool, writes: bool = True, seconds: int = 45) -> None:
    """A program that reads files and writes them back as noise, or one that packs them into an archive."""
    rng = random.Random(seed)
    read_lines, write_lines = [], []
    archive = 40_000_000 + rng.randrange(1_000_000) * 8
    for tick in range(seconds * 20):
        second, sub = 1_600_000_000 + tick // 20, (tick % 20) * 2**30 // 20 + rng.randrange(1000)
        lba, rows = rng.randrange(3_000_000) * 8, rng.choice([1, 1, 1, 2]) if encrypts else rng.randrange(4, 40)
        for i in range(rows):
            read_lines.append(f"{second},{sub},{lba + 8 * i},4096\n")
            target = lba + 8 * i if encrypts else archive
            archive += 0 if encrypts else 8
            write_lines.append(f"{second},{sub + 2**24},{target},4096,{rng.uniform(0.98, 0.996)!r},0.9\n")
    folder.mkdir(parents=True)
    (folder / "ata_read.csv").write_text("".join(sorted(read_lines)))
    if writes:
        (folder / "ata_write.csv").write_text("".join(sorted(write_lines)))


def write_tree(root: Path, first: int, machine: str, runs: int = 3) -> None:
    for i in range(runs):
        write_run(root / f"dataset/original/{machine}/WannaCry/WannaCry-{first + i}", first + i, True)
        write_run(root / f"dataset/original/{machine}/Zip/Zip-{first + i}", first + 50 + i, False)
    write_run(root / f"dataset/original/{machine}/Cerber/Cerber-{first}", first + 80, True, writes=False)


class Detect(unittest.TestCase):
    def setUp(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.path = Path(self.temporary.name)
        write_tree(self.path / "train", 100, "m1")
        write_tree(self.path / "test", 200, "m2")

    def tearDown(self) -> None:
        self.temporary.cleanup()

    def test_evaluate(self) -> None:
        text = good("evaluate", "--train", self.path / "train", "--test", self.path / "test", "--json", self.path / "figures.json",
                    "--report", self.path / "report.md", "--curves", self.path / "curves.png", "--seeds", 1, "--context", 60)
        figures = json.loads((self.path / "figures.json").read_text())
        self.assertEqual((len(figures["split"]["train"]), len(figures["split"]["test"])), (7, 7))
        self.assertEqual(figures["taken_for_ransomware"], ["Cerber", "WannaCry"])
        for track, runs in (("reads+writes", (3, 3)), ("reads", (4, 3))):
            main = figures["tracks"][track]["models"][0]["figures"]
            self.assertGreater(main["f1"], 0.9, track)
            self.assertEqual((main["runs"]["ransomware"], main["runs"]["benign"]), runs)
            self.assertEqual((main["runs"]["missed"], main["runs"]["false_alarms"]), (0, 0))
            self.assertEqual(main["windows"], 4 * sum(runs))
            self.assertLessEqual(main["alerts"]["median_s_since_start"], 10)
            low, high = main["interval_95"]["f1"]
            self.assertTrue(low <= main["f1"] <= high)
        self.assertEqual(figures["tracks"]["reads+writes"]["models"][-1]["name"], "one-line rule")
        self.assertEqual(set(figures["tracks"]["reads"]["unseen_programs"]["anchored, reads"]), {"Cerber", "WannaCry"})
        self.assertEqual((self.path / "report.md").read_text(), text)
        self.assertEqual((self.path / "curves.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_evaluate_what_strangers_bring(self) -> None:
        machine = self.path / "test/dataset/original/m2"
        write_run(machine / "Zip/Zip-short", 301, False, seconds=7)
        write_run(machine / "WannaCry/WannaCry-short", 302, True, seconds=9)
        write_run(machine / "Unheard/Unheard-1", 303, False)
        write_run(machine / "GandCrab4/GandCrab4-1", 304, True)
        for path in (machine / "Unheard/Unheard-1").iterdir():
            path.write_bytes(b"seconds,nanoseconds,lba,size\r\n" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n1600000000,5")
        empty = machine / "Zip/Zip-empty"
        empty.mkdir()
        for name in ("ata_read.csv", "ata_write.csv"):
            (empty / name).write_bytes(b"")
        (machine / "Zip/.unfinished/Zip-1").mkdir(parents=True)
        (machine / "Zip/.unfinished/Zip-1/ata_read.csv").write_bytes(b"")
        good("evaluate", "--train", self.path / "train", "--test", self.path / "test", "--json", self.path / "figures.json", "--summary", self.path / "summary.json",
             "--seeds", 1, "--context", 60)
        figures = json.loads((self.path / "figures.json").read_text())
        self.assertEqual(figures["taken_for_ransomware"], ["Cerber", "GandCrab4", "WannaCry"])
        self.assertEqual(figures["taken_for_benign"], ["Unheard", "Zip"])
        self.assertEqual([entry["run"].rpartition("/")[2] for entry in figures["left_out"]], ["Zip-empty"])
        self.assertEqual((figures["complaints"]["header_line"], figures["complaints"]["malformed_line"]), (2, 2))
        everything = figures["summary"]["all runs"]
        self.assertEqual((everything["runs"]["ransomware"], everything["runs"]["benign"]), (6, 5))
        runs = {entry["run"].rpartition("/")[2]: entry for entry in everything["run_list"]}
        self.assertEqual(len(runs), 11)
        self.assertIsNone(runs["Cerber-200"]["bytes_written_before"])
        self.assertGreater(runs["GandCrab4-1"]["bytes_written_before"], 0)
        self.assertTrue(all(run["alarmed"] == (run["first_alert_s"] is not None) == run["ransomware"] for run in runs.values()), runs)
        self.assertEqual(everything["programs"]["Unheard"]["fpr"], 0)
        self.assertNotIn("tracks", json.loads((self.path / "summary.json").read_text()))

    def test_evaluate_with_one_class(self) -> None:
        only_zip = self.path / "test/dataset/original/m2/Zip"
        good("evaluate", "--train", self.path / "train", "--test", only_zip, "--json", self.path / "f.json", "--seeds", 1, "--context", 60)
        summary = json.loads((self.path / "f.json").read_text())["summary"]["all runs"]
        self.assertEqual((summary["recall"], summary["roc_auc"], summary["fpr"]), (None, None, 0))
        self.assertIn("both classes", bad("evaluate", "--train", self.path / "train/dataset/original/m1/Zip", "--test", self.path / "test"))
        for folder in (self.path / "train").rglob("WannaCry-*"):  # with writes there is no ransomware left to learn from
            (folder / "ata_write.csv").unlink()
        good("evaluate", "--train", self.path / "train", "--test", self.path / "test", "--json", self.path / "f.json", "--seeds", 1, "--context", 60)
        figures = json.loads((self.path / "f.json").read_text())
        self.assertIn("both classes", figures["tracks_left_out"]["reads+writes"])
        self.assertEqual(len(figures["summary"]["all runs"]["run_list"]), 7)

    def test_no_run_tests_itself(self) -> None:
        message = bad("evaluate", "--train", self.path / "train", "--test", self.path / "train/dataset")
        self.assertIn("training folder", message)
        linked = self.path / "linked/m3/WannaCry"
        linked.mkdir(parents=True)
        (linked / "other-name").symlink_to(self.path / "train/dataset/original/m1/WannaCry/WannaCry-100")
        (linked / "circle").symlink_to(self.path / "linked")
        self.assertIn("training folder", bad("evaluate", "--train", self.path / "train", "--test", self.path / "linked"))
        good("evaluate", "--train", self.path / "train", "--test", self.path / "train", "--json", self.path / "f.json", "--seeds", 1)
        split = json.loads((self.path / "f.json").read_text())["split"]
        self.assertTrue(split["one_folder"])
        self.assertFalse(set(split["train"]) & set(split["test"]))
        self.assertEqual(len(split["train"]) + len(split["test"]), 7)

    def test_train_and_detect(self) -> None:
        model = self.path / "model.json"
        good("train", self.path / "train", "--out", model, "--context", 60)
        store = self.path / "store"
        self.assertIn("7 runs", good("import", "--format", "ransap", self.path / "test", store))
        for source in (self.path / "test", store):
            verdicts = [json.loads(line) for line in good("detect", source, "--model", model, "--json").splitlines()]
            self.assertEqual(len(verdicts), 7)
            self.assertEqual(sorted(v["track"] for v in verdicts).count("reads"), 1)
            self.assertEqual(sum(bool(v["alerts"]) for v in verdicts), 4)
            reasons = next(v["alerts"][0]["undercroft"]["reasons"] for v in verdicts if v["alerts"] and v["track"] == "reads+writes")
            self.assertIn("overwrite", " ".join(r["feature"] for r in reasons))
            self.assertEqual(reasons, sorted(reasons, key=lambda r: -r["log_odds"]))
        self.assertIn("RANSOMWARE", good("detect", self.path / "test", "--model", model))
        self.check_alerts(store, model)
        broken = json.loads(model.read_text())
        broken["catalogue"] += 1
        model.write_text(json.dumps(broken))
        self.assertIn("train it again", bad("detect", store, "--model", model))
        model.write_text("{" * 5000)
        self.assertIn("not a usable model", bad("detect", store, "--model", model))
        self.assertIn("No such file", bad("detect", store, "--model", self.path / "none"))

    def check_alerts(self, store: Path, model: Path) -> None:
        """What detect has written into the store, and what people do with it."""
        lines = [json.loads(line) for line in good("alerts", "list", store, "--json").splitlines()]
        self.assertEqual(len(lines), 4)
        about = lines[0]["undercroft"]
        self.assertEqual((about["state"], lines[0]["event"]["kind"], lines[0]["ecs"]["version"]), ("open", "alert", "8.11.0"))
        self.assertLess(about["first_evidence_ns"], about["alert_ns"])
        self.assertTrue(about["extents"] or about["model"]["track"] == "reads")
        for name in about["pictures"].values():
            self.assertEqual((store / "alerts" / name).read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        good("alerts", "ack", store, about["id"][:12], "--by", "me", "--note", "seen")
        good("detect", store, "--model", model)  # again: nothing new, and what was acknowledged stays so
        again = [json.loads(line)["undercroft"] for line in good("alerts", "list", store, "--json").splitlines()]
        self.assertEqual([a["id"] for a in again], [line["undercroft"]["id"] for line in lines])
        self.assertEqual([a["state"] for a in again].count("acknowledged"), 1)
        self.assertEqual(len(good("alerts", "list", store, "--open").splitlines()), 3)
        self.assertIn("0 alerts", bad("alerts", "ack", store, "zz"))
        scores = sorted((store / "scores").rglob("*.jsonl"))
        self.assertEqual(len(scores), 7)
        header, *windows = [json.loads(line) for line in scores[0].read_text().splitlines()]
        self.assertEqual((header["format"], header["step_ns"]), (1, 10**9))
        self.assertTrue(all(0 <= window["p"] <= 1 for window in windows) and len(windows) > 30)

    def test_import_stores_what_the_files_say(self) -> None:
        folder = self.path / "odd/dataset/original/m/Zip/Zip-1"
        folder.mkdir(parents=True)
        (folder / "ata_read.csv").write_text("10,536870912,8,4096\nnonsense\n9,0,2508800,512\r\n")
        (folder / "ata_write.csv").write_text("9,1073741823,16,4096,1.2E-4,0.5\n10,0,24,512,-0.0,0.0\n")
        result = run("import", "--format", "ransap", self.path / "odd", self.path / "store")
        self.assertIn("1 times malformed_line", result.stderr)
        self.assertIn("1 times carriage_return", result.stderr)
        table = ds.dataset(list((self.path / "store").rglob("*.parquet"))).to_table()
        rows = table.set_column(1, "time", table["time"].cast("int64")).to_pylist()
        got = [(r["kind"], r["address"], r["length"], r["flags"]) for r in sorted(rows, key=lambda r: r["seq"])]
        self.assertEqual(got, [("read", 2508800, 512, 3), ("write", 16, 4096, 7), ("write", 24, 512, 7), ("read", 8, 4096, 3)])
        self.assertEqual([r["time"] for r in rows], [9_000_000_000, 9_999_999_999, 10_000_000_000, 10_500_000_000])
        self.assertEqual([r["entropy"] for r in rows][2], 0.0)
        again = good("import", "--format", "ransap", self.path / "odd", self.path / "store")
        self.assertIn("0 runs with 0 records imported, 1 were there already", again)
        self.assertIn("neither a store", bad("import", "--format", "ransap", self.path / "odd", self.path / "odd"))
        self.assertIn("4", good("info", self.path / "store"))

    def test_one_class_alone_cannot_be_learnt(self) -> None:
        self.assertIn("both classes", bad("train", self.path / "train", "--out", self.path / "m", "--ransomware", "Nothing"))


if __name__ == "__main__":
    run_program.main()
