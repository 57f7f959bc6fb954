# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""One process of a small HDFS: its configuration and its command line."""
from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

NAME_NODE_CLASS = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATA_NODE_CLASS = "org.apache.hadoop.hdfs.server.datanode.DataNode"
JAVA_OPTIONS = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true",
                "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED",
                "--add-opens=java.base/java.net=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"]
LOG4J = """log4j.rootLogger=INFO,file
log4j.appender.file=org.apache.log4j.ConsoleAppender
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


PASSWORD = "changeit"  # of a key store that lives as long as the test
SSL_SERVER = """<configuration>
<property><name>ssl.server.keystore.location</name><value>{store}</value></property>
<property><name>ssl.server.keystore.type</name><value>pkcs12</value></property>
<property><name>ssl.server.keystore.password</name><value>{password}</value></property>
<property><name>ssl.server.keystore.keypassword</name><value>{password}</value></property>
</configuration>
"""


@dataclass
class Node:
    """One Java process and its folder."""

    name: str
    main_class: str
    folder: Path
    settings: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def command(self, classpath: str, *arguments: str) -> list[str]:
        return ["java", *JAVA_OPTIONS, "-cp", f"{self.folder / 'conf'}:{classpath}", self.main_class, *arguments]

    def configure(self, key_store: Path) -> None:
        """Writes the process's configuration; `key_store` counts where the settings ask for TLS."""
        conf = self.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        rows = "".join(f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
                       for name, value in self.settings.items())
        for name in ("core-site.xml", "hdfs-site.xml"):
            (conf / name).write_text(f"<configuration>\n{rows}</configuration>\n")
        (conf / "log4j.properties").write_text(LOG4J)
        (conf / "ssl-server.xml").write_text(SSL_SERVER.format(store=key_store, password=PASSWORD))
        # The published jars lack the browser's pages; the servers want their folders nevertheless.
        for name in ("hdfs", "datanode"):
            (conf / "webapps" / name).mkdir(parents=True, exist_ok=True)


def make_certificate(key: Path, certificate: Path, store: Path, address: str) -> None:
    """Signs itself: it is its own authority. `store` holds both for Java."""
    for command in (["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                     "-subj", "/CN=localhost", "-addext", f"subjectAltName=DNS:localhost,IP:{address}"],
                    ["openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", store, "-passout", f"pass:{PASSWORD}"]):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
