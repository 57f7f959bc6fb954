# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""`undercroft serve` as a test uses it: started on a free port, asked with the standard library, ended."""
from __future__ import annotations

import array
import http.client
import json
import struct
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

TOKEN = "a-token-for-tests-0123456789abcdef"
TYPES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}


class Columns:
    """A binary reply: docs/formats/page-api.md."""

    def __init__(self, body: bytes) -> None:
        (length,) = struct.unpack_from("<I", body)
        self.about = json.loads(body[4:4 + length])
        self._all = {c["name"]: array.array(TYPES[c["type"]], body[4 + length + c["offset"]:][:c["items"] * array.array(TYPES[c["type"]]).itemsize]) for c in self.about["columns"]}

    def __getitem__(self, name: str) -> array.array[Any]:
        return self._all[name]

    def grid(self, name: str, cells: int) -> list[float]:
        if name in self._all:
            return list(self._all[name])
        values = [0.0] * cells
        for place, value in zip(self._all.get(f"{name}.index", []), self._all.get(f"{name}.value", []), strict=True):
            values[place] = value
        return values


class Served:
    def __init__(self, program: Path, store: Path, *arguments: str) -> None:
        token = store.parent / f"{store.name}-token"
        token.write_text(TOKEN + "\n", encoding="ascii")
        self.process = subprocess.Popen([str(program), "serve", str(store), "--listen", "127.0.0.1:0", "--token-file", str(token), *arguments],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("the page is at http://127.0.0.1:"), line
        self.url = line.split()[-1]
        self.port = int(self.url.rstrip("/").rsplit(":", 1)[1])

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0
        assert self.process.stdout
        self.process.stdout.close()

    def request(self, path: str, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"} if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, name: str, **parameters: object) -> bytes:
        status, _, body = self.request(f"/api/{name}?{urlencode(parameters)}")
        assert status == 200, (status, body[:300])
        return body

    def json(self, name: str, **parameters: object) -> Any:
        return json.loads(self.get(name, **parameters))

    def columns(self, name: str, **parameters: object) -> Columns:
        return Columns(self.get(name, **parameters))

    def wait_indexed(self, seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.json("state")
            streams = [boot[name] for boot in state["boots"] for name in ("storage", "memory") if boot[name]]
            if streams and all(s["waiting_files"] == 0 and s["rows"] > 0 for s in streams):
                return state
            time.sleep(0.05)
        raise AssertionError("the store was not indexed in time")
