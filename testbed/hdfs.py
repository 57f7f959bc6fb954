# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A small HDFS of real Apache Hadoop on loopback: one NameNode and some DataNodes, each a process of its own.

Installed by `make setup-hdfs`. Ports are chosen when the cluster is made and stay the same when a process is started
again. Only processes that were started here are ever ended.

As a program: python3 -m testbed.hdfs --folder DIR starts one, prints its addresses as a shell reads them and waits
for SIGINT or SIGTERM.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType

from testbed import cache
from testbed.hdfs_node import DATA_NODE_CLASS, NAME_NODE_CLASS, Node, make_certificate

LOOPBACK = "127.0.0.1"


class HdfsError(Exception):
    """Something did not start, or an answer says no; the text names the log."""


def hadoop_folder() -> Path | None:
    """Where `make setup-hdfs` put Hadoop, or None."""
    folder = cache.root() / "hadoop"
    return folder if (folder / "lib").is_dir() and shutil.which("java") else None


def spark_python() -> Path | None:
    """The Python that has PySpark, or None."""
    python = cache.root() / "spark-venv" / "bin" / "python"
    return python if python.exists() else None


def free_ports(count: int) -> list[int]:
    """Ports that nobody used a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Hdfs:
    """Use as a context manager: formatted and healthy inside, all its processes gone after."""

    def __init__(self, folder: Path, data_nodes: int = 2, replication: int = 2, block_bytes: int = 8 << 20,
                 settings: dict[str, str] | None = None, tls: bool = False) -> None:
        hadoop = hadoop_folder()
        if hadoop is None:
            raise HdfsError("Hadoop is not installed; run `make setup-hdfs`")
        self._classpath = f"{hadoop}/lib/*"
        self.folder = folder
        self.ca_file = folder / "certificate.pem"  # with tls
        self._tls = tls
        self.http_port, self.rpc_port, *rest = free_ports(2 + 3 * data_nodes)
        common = {
            "fs.defaultFS": self.uri, "dfs.replication": str(replication), "dfs.blocksize": str(block_bytes),
            "dfs.namenode.fs-limits.min-block-size": "1024",
            # A dead DataNode is noticed after 2 * recheck + 10 * heartbeat: 12 s instead of 10 minutes.
            "dfs.heartbeat.interval": "1", "dfs.namenode.heartbeat.recheck-interval": "1000",
            "dfs.namenode.safemode.extension": "0", "dfs.namenode.safemode.min.datanodes": "1",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.client.socket-timeout": "10000", "ipc.client.connect.max.retries": "3",
            **({"dfs.http.policy": "HTTPS_ONLY"} if tls else {}), **(settings or {}),
        }
        name_folder = folder / "namenode"
        self.name_node = Node("namenode", NAME_NODE_CLASS, name_folder, {
            **common, "hadoop.tmp.dir": str(name_folder / "tmp"), "dfs.namenode.name.dir": f"file://{name_folder}/name",
            "dfs.namenode.rpc-address": f"{LOOPBACK}:{self.rpc_port}",
            f"dfs.namenode.{self._scheme}-address": f"{LOOPBACK}:{self.http_port}"})
        self.data_nodes = [self._data_node(number, rest[3 * number:3 * number + 3], common) for number in range(data_nodes)]

    def _data_node(self, number: int, ports: list[int], common: dict[str, str]) -> Node:
        folder = self.folder / f"datanode{number}"
        data, http, ipc = (f"{LOOPBACK}:{port}" for port in ports)
        return Node(folder.name, DATA_NODE_CLASS, folder, {
            **common, "hadoop.tmp.dir": str(folder / "tmp"), "dfs.datanode.data.dir": f"file://{folder}/data",
            "dfs.namenode.rpc-address": f"{LOOPBACK}:{self.rpc_port}", "dfs.datanode.address": data,
            f"dfs.datanode.{self._scheme}.address": http, "dfs.datanode.ipc.address": ipc, "dfs.datanode.hostname": "localhost"})

    @property
    def uri(self) -> str:
        """For Spark and Hadoop's own tools."""
        return f"hdfs://{LOOPBACK}:{self.rpc_port}"

    @property
    def web_url(self) -> str:
        """For `undercroft`."""
        return f"{'s' if self._tls else ''}webhdfs://{LOOPBACK}:{self.http_port}"

    @property
    def _scheme(self) -> str:
        return "https" if self._tls else "http"

    @property
    def user(self) -> str:
        """The superuser: who started the NameNode."""
        return os.environ.get("USER") or subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()

    def __enter__(self) -> Hdfs:
        try:
            self._format()
            for node in [self.name_node, *self.data_nodes]:
                self.start(node)
            self.wait_healthy()
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop_all()

    def start(self, node: Node) -> None:
        """Starts the process again or for the first time; does not wait."""
        if node.running():
            raise HdfsError(f"{node.name} runs already")
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(node.command(self._classpath), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, node: Node) -> None:
        """SIGKILL, as a power cut would."""
        if node.process is not None:
            node.process.kill()
            node.process.wait()

    def stop(self, node: Node) -> None:
        """SIGTERM, and SIGKILL for one that does not listen."""
        if node.process is None:
            return
        node.process.terminate()
        try:
            node.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill(node)

    def pause(self, node: Node) -> None:
        """Connections are accepted by the kernel, nothing answers."""
        if node.process is not None:
            node.process.send_signal(signal.SIGSTOP)

    def resume(self, node: Node) -> None:
        if node.process is not None:
            node.process.send_signal(signal.SIGCONT)

    def stop_all(self) -> None:
        for node in [*self.data_nodes, self.name_node]:
            if node.running():
                self.resume(node)
                self.kill(node)

    def wait_healthy(self, seconds: float = 90, data_nodes: int | None = None) -> None:
        """Until the NameNode takes writes and knows as many live DataNodes as run here."""
        wanted = data_nodes if data_nodes is not None else sum(node.running() for node in self.data_nodes)
        end = time.monotonic() + seconds
        while not self._healthy(wanted):
            for node in [self.name_node, *self.data_nodes]:
                if node.process is not None and node.process.poll() not in (None, -signal.SIGKILL, -signal.SIGTERM, 143):
                    raise HdfsError(f"{node.name} ended; its log is {node.log}:\n{self._tail(node)}")
            if time.monotonic() > end:
                raise HdfsError(f"HDFS is not healthy after {seconds} s; the NameNode's log is {self.name_node.log}")
            time.sleep(0.25)

    def _healthy(self, data_nodes: int) -> bool:
        query = "Hadoop:service=NameNode,name=FSNamesystemState"
        try:
            beans = json.loads(self._fetch("GET", f"/jmx?qry={query}", 5))["beans"]
        except (HdfsError, ValueError, KeyError):
            return False
        return bool(beans) and beans[0]["FSState"] == "Operational" and beans[0]["NumLiveDataNodes"] >= data_nodes

    def request(self, method: str, path: str, operation: str, **parameters: object) -> dict[str, object]:
        """One WebHDFS call that needs no DataNode, as the superuser."""
        query = urllib.parse.urlencode({"op": operation, "user.name": self.user, **parameters})
        body = self._fetch(method, f"/webhdfs/v1{urllib.parse.quote(path)}?{query}", 20)
        return json.loads(body) if body else {}

    def read(self, path: str) -> bytes:
        """A file's bytes, by way of a DataNode. The NameNode sends readers to one that has died until it notices: asked again."""
        query = urllib.parse.urlencode({"op": "OPEN", "user.name": self.user})
        end = time.monotonic() + 60
        while True:
            try:
                return self._fetch("GET", f"/webhdfs/v1{urllib.parse.quote(path)}?{query}", 60)
            except HdfsError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def _fetch(self, method: str, target: str, timeout: float) -> bytes:
        context = ssl.create_default_context(cafile=str(self.ca_file)) if self._tls else None
        request = urllib.request.Request(f"{self._scheme}://{LOOPBACK}:{self.http_port}{target}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            raise HdfsError(f"{method} {target}: {error.code} {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise HdfsError(f"{method} {target}: {error}") from error

    def list(self, path: str) -> dict[str, dict[str, object]]:
        """Every file below `path`: its path relative to it, and its status."""
        result: dict[str, dict[str, object]] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            statuses = self.request("GET", f"{path}/{folder}".rstrip("/"), "LISTSTATUS")["FileStatuses"]["FileStatus"]  # type: ignore[index]
            for status in statuses:
                name = f"{folder}/{status['pathSuffix']}".lstrip("/")
                if status["type"] == "DIRECTORY":
                    folders.append(name)
                else:
                    result[name] = status
        return result

    def _format(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._tls:
            make_certificate(self.folder / "key.pem", self.ca_file, self.folder / "keys.p12", LOOPBACK)
        for node in [self.name_node, *self.data_nodes]:
            node.configure(self.folder / "keys.p12")
        with self.name_node.log.open("ab") as log:
            done = subprocess.run(self.name_node.command(self._classpath, "-format", "-force", "-nonInteractive"), stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, timeout=90, check=False)
        if done.returncode != 0:
            raise HdfsError(f"the NameNode cannot be formatted:\n{self._tail(self.name_node)}")

    def _tail(self, node: Node) -> str:
        return "\n".join(node.log.read_text(errors="replace").splitlines()[-30:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for data and logs; must not hold a cluster already")
    parser.add_argument("--data-nodes", type=int, default=2)
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        with Hdfs(arguments.folder.resolve(), arguments.data_nodes) as hdfs:
            print(f"WEBHDFS={hdfs.web_url}\nHADOOP={hdfs.uri}\nHDFS_USER={hdfs.user}", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except HdfsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
