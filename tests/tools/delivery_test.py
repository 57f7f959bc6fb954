# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The sensor's buffer and sender against the real collector, through loopback; the store is read by pyarrow."""
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import pyarrow.parquet as parquet

SENSOR, UNDERCROFT = sys.argv[1], sys.argv[2]
KEY = "c3" * 32


class Delivery(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.store = self.folder / "store"
        (self.folder / "key").write_text(KEY + "\n")
        self.address = "127.0.0.1:0"
        self.collector: subprocess.Popen[bytes] | None = None
        self.addCleanup(self.kill)

    def start(self) -> None:
        """Starts the collector; after the first time at the same port."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        self.collector = subprocess.Popen(
            [UNDERCROFT, "collect", "--store", self.store, "--key-file", self.folder / "key", "--listen", self.address,
             "--ready-file", ready], stdout=subprocess.DEVNULL)
        for _ in range(300):
            if ready.exists():
                break
            time.sleep(0.1)
        self.address = ready.read_text().strip()

    def kill(self) -> None:
        if self.collector is not None:
            self.collector.kill()
            self.collector.wait()
            self.collector = None

    def stop(self) -> None:
        assert self.collector is not None
        self.collector.send_signal(signal.SIGTERM)
        self.assertEqual(self.collector.wait(60), 0)
        self.collector = None

    def sensor(self, *arguments: str) -> subprocess.Popen[str]:
        port = self.address.rsplit(":", 1)[1]
        return subprocess.Popen([SENSOR, "--port", port, "--key", KEY, *arguments], stdout=subprocess.PIPE, text=True)

    def finish(self, sensor: subprocess.Popen[str]) -> dict[str, int]:
        text, _ = sensor.communicate(timeout=120)
        self.assertEqual(sensor.returncode, 0, text)
        return json.loads(text)

    def rows(self) -> list[dict[str, object]]:
        columns = ["seq", "kind", "address", "length", "content"]
        rows = []
        for file in self.store.glob("machine=*/boot=*/stream=storage/date=*/*.parquet"):
            rows += parquet.read_table(file, columns=columns, partitioning=None).to_pylist()
        return sorted(rows, key=lambda row: row["seq"])

    def check_rows(self, made: int) -> int:
        """Every record exactly once, or inside a stated gap; returns how many are inside gaps."""
        expected, missing = 0, 0
        for row in self.rows():
            self.assertEqual(row["seq"], expected)
            if row["kind"] == "gap":
                missing += row["length"]
                expected += row["length"]
                continue
            self.assertEqual(row["kind"], "write")
            self.assertEqual(row["address"], expected * 8)
            if row["content"] is not None:
                self.assertEqual(row["content"], hashlib.sha256(expected.to_bytes(8, "little") * 512).digest())
            expected += 1
        self.assertLessEqual(expected, made)
        return missing + made - expected

    def test_every_record_arrives(self) -> None:
        self.start()
        result = self.finish(self.sensor("--records", "3000"))
        self.stop()
        self.assertEqual(self.check_rows(3000), 0)
        self.assertNotIn("records_dropped", result)
        self.assertNotIn("acks_bad_seal", result)
        self.assertNotIn("acks_malformed", result)

    def test_losses_and_two_crashes_of_the_collector(self) -> None:
        self.start()
        sensor = self.sensor("--records", "4000", "--rate", "1000", "--loss", "0.2", "--mtu", "9000")
        for _ in range(2):
            time.sleep(1.2)
            self.kill()
            self.start()
        result = self.finish(sensor)
        self.stop()
        self.assertEqual(self.check_rows(4000), 0)
        self.assertGreater(result["datagrams_resent"], 0)

    def test_gaps_equal_what_was_dropped(self) -> None:
        self.start()
        result = self.finish(self.sensor("--records", "5000", "--policy", "drop", "--buffer-kib", "64", "--loss", "0.05"))
        self.stop()
        self.assertGreater(result["records_dropped"], 0)
        self.assertEqual(self.check_rows(5000), result["records_dropped"])

    def test_hold_with_a_tiny_buffer_loses_nothing(self) -> None:
        self.start()
        result = self.finish(self.sensor("--records", "1000", "--buffer-kib", "64", "--loss", "0.05"))
        self.stop()
        self.assertGreater(result["hold_waits"], 0)
        self.assertEqual(self.check_rows(1000), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
