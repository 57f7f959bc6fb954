# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Ordinary programs whose disk accesses look like an encryptor's in one way or another."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import corpus, volume

POSTGRES = Path("/usr/lib/postgresql/15/bin")
POSTGRES_USER = 70
INIT_SECONDS, LEAST_DATABASE_SECONDS = 90.0, 30.0


class TimeUp(Exception):
    """The job's time is over."""


@dataclass
class Job:
    root: Path  # of the documents; beside it there is room
    entries: list[corpus.Entry]
    seed: int
    deadline: float
    chance: random.Random
    changed: dict[str, str] = field(default_factory=dict)  # SHA-256 of documents that `office` has saved anew

    @property
    def room(self) -> Path:
        return self.root.parent

    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    def left(self) -> float:
        return max(1.0, self.deadline - time.monotonic())

    def tool(self, *command: str | Path, **options: object) -> None:
        """Runs a program to its end, or to the job's: then it is ended, as by a person who has waited long enough, and TimeUp raised."""
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True, **options)  # type: ignore[call-overload]
        try:
            said, _ = process.communicate(timeout=self.left())
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)  # its children, too
            process.communicate()
            raise TimeUp from error
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said[-300:]!r}")

    def folders(self) -> list[str]:
        """All that have files, in an order of chance."""
        found = sorted({entry.path.rpartition("/")[0] for entry in self.entries})
        self.chance.shuffle(found)
        return found

    def files(self, *suffixes: str) -> list[corpus.Entry]:
        return [entry for entry in self.entries if not suffixes or entry.path.endswith(suffixes)]


def _archives(job: Job, pack: Callable[[str, Path], None]) -> None:
    target = job.room / "archives"
    target.mkdir(exist_ok=True)
    for number, folder in enumerate(job.folders()):
        if job.over():
            break
        pack(folder, target / f"archive{number}")


def zip_folders(job: Job) -> None:
    level = job.chance.choice(["-1", "-6"])
    _archives(job, lambda folder, target: job.tool("zip", "-q", "-r", level, f"{target}.zip", folder, cwd=job.root))


def seven_zip(job: Job) -> None:
    level = job.chance.choice(["-mx1", "-mx3"])
    secret = job.chance.choice([[], ["-ptest-bed"]])
    _archives(job, lambda folder, target: job.tool("7z", "a", level, *secret, f"{target}.7z", folder, cwd=job.root))


def tar_xz(job: Job) -> None:
    _archives(job, lambda folder, target: job.tool("tar", "-c", "-I", "xz -0", "-f", f"{target}.tar.xz", folder, cwd=job.root))


def _few_large(job: Job, work: Callable[[Path], None], pause: tuple[float, float]) -> None:
    large = sorted(job.entries, key=lambda entry: -entry.bytes)[:120]
    for entry in job.chance.sample(large, min(len(large), 40)):
        if job.over():
            return
        work(job.root / entry.path)
        time.sleep(job.chance.uniform(*pause))


def gpg_file(job: Job) -> None:
    os.makedirs("/tmp/gnupg", mode=0o700, exist_ok=True)
    _few_large(job, lambda path: job.tool("gpg", "--homedir", "/tmp/gnupg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback",
                                      "--passphrase", "test-bed", "--symmetric", "--output", f"{path}.gpg", path), (0.5, 3))


def age_file(job: Job) -> None:
    key = Path("/tmp/age.key")
    job.tool("age-keygen", "-o", key)
    public = next(line.rpartition(" ")[2] for line in key.read_text(encoding="ascii").splitlines() if "public key" in line)
    _few_large(job, lambda path: job.tool("age", "-r", public, "-o", f"{path}.age", path), (0.5, 3))


def aescrypt_file(job: Job) -> None:
    """A person protects a document now and then and deletes the original."""
    def protect(path: Path) -> None:
        job.tool("openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-iter", "10000", "-pass", "pass:test-bed", "-in", path, "-out", f"{path}.aes")
        path.unlink()
    documents = job.files(".docx", ".xlsx", ".pdf")
    for entry in job.chance.sample(documents, min(len(documents), 12)):
        if job.over():
            return
        protect(job.root / entry.path)
        time.sleep(job.chance.uniform(2, 5))


def shred(job: Job) -> None:
    for folder in job.folders():
        if job.over():
            return
        paths = [job.root / entry.path for entry in job.entries if entry.path.rpartition("/")[0] == folder]
        for path in paths:
            job.tool("/usr/bin/shred", "-u", "-n", "3", path)
            if job.over():
                return


def rsync(job: Job) -> None:
    target = job.room / "backup"
    source = f"{job.root}/"
    halves = job.folders()
    for folder in halves[:len(halves) // 2]:
        if job.over():
            return
        job.tool("rsync", "-aR", f"{source}./{folder}", target)
    while not job.over():
        for entry in job.chance.sample(job.entries, 30):
            with open(job.root / entry.path, "ab") as handle:
                handle.write(b"\nadded later\n")
        for folder in halves[:len(halves) // 2]:
            if job.over():
                return
            job.tool("rsync", "-aR", f"{source}./{folder}", target)


def git_gc(job: Job) -> None:
    repository = job.room / "repository"
    repository.mkdir()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "safe.directory=*", "-c", "gc.auto=0", "-C", str(repository)]
    job.tool(*git, "init", "-q")
    sources = job.files(".c", ".txt", ".csv")
    while not job.over():
        for entry in job.chance.sample(sources, min(60, len(sources))):
            target = repository / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((job.root / entry.path).read_bytes() + job.chance.randbytes(8).hex().encode())
        job.tool(*git, "add", "-A")
        job.tool(*git, "commit", "-q", "-m", "more")
        job.tool(*git, "gc", "-q", "--aggressive" if job.chance.random() < 0.3 else "--no-prune")


def apt_upgrade(job: Job) -> None:
    root = job.room / "system"
    (root / "var/lib/dpkg/updates").mkdir(parents=True)
    (root / "var/lib/dpkg/info").mkdir()
    (root / "var/lib/dpkg/status").touch()
    (root / "var/lib/dpkg/available").touch()
    packages = sorted(Path("/tools/upgrades").glob("*_1.deb"))
    job.chance.shuffle(packages)
    while not job.over():
        for version in ("_1.deb", "_2.deb"):
            for package in packages:
                if job.over():
                    return
                job.tool("dpkg", f"--root={root}", "--force-all", "--log=/dev/null", "--unpack", str(package).replace("_1.deb", version))


def postgresql(job: Job) -> None:
    data = job.room / "cluster"
    data.mkdir()
    os.chmod(job.room, 0o755)
    os.chown(data, POSTGRES_USER, POSTGRES_USER)
    with open("/etc/passwd", "a", encoding="ascii") as users:
        users.write(f"postgres:x:{POSTGRES_USER}:{POSTGRES_USER}::/tmp:/bin/sh\n")
    as_user = {"user": POSTGRES_USER, "group": POSTGRES_USER, "cwd": "/tmp", "env": {**os.environ, "HOME": "/tmp", "PGHOST": "/tmp", "PGUSER": "postgres"}}
    os.chmod("/tmp", 0o1777)
    if os.stat(data).st_uid != POSTGRES_USER:  # ntfs-3g without permissions: everything is root's
        raise RuntimeError("the file system keeps no owners: PostgreSQL does not start there")
    job.deadline += INIT_SECONDS
    job.tool(POSTGRES / "initdb", "-D", data, "-U", "postgres", "--no-sync", "-A", "trust", "--locale=C", **as_user)
    server = subprocess.Popen([str(POSTGRES / "postgres"), "-D", str(data), "-k", "/tmp", "-c", "listen_addresses=", "-c", "shared_buffers=16MB",
                               "-c", "checkpoint_timeout=30s", "-c", "wal_level=minimal", "-c", "max_wal_senders=0"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]
    try:
        for _ in range(200):
            if Path("/tmp/.s.PGSQL.5432").exists():
                break
            time.sleep(0.1)
        job.deadline = max(job.deadline - INIT_SECONDS, time.monotonic() + LEAST_DATABASE_SECONDS)
        job.tool(POSTGRES / "pgbench", "-i", "-q", "-s", str(job.chance.choice([1, 2])), "postgres", **as_user)
        job.tool(POSTGRES / "pgbench", "-n", "-c", str(job.chance.choice([1, 4])), "-T", str(int(job.left())), "postgres", **as_user)
    finally:
        server.terminate()
        server.wait()


def sqlite(job: Job) -> None:
    number = 0
    while not job.over():
        path = job.room / f"data{number % 4}.sqlite"
        number += 1
        connection = sqlite3.connect(path)
        connection.execute(f"pragma journal_mode={job.chance.choice(['wal', 'delete'])}")
        connection.execute("create table if not exists orders (id integer primary key, name text, payload blob)")
        for _ in range(job.chance.randint(5, 25)):
            with connection:
                connection.executemany("insert into orders (name, payload) values (?, ?)",
                                       [(f"order {job.chance.random()}", job.chance.randbytes(job.chance.randint(20, 3000))) for _ in range(40)])
                connection.execute("update orders set name = name || 'x' where id % 7 = ?", (job.chance.randrange(7),))
            if job.over():
                break
        with connection:
            connection.execute("delete from orders where id % 5 = 0")
        connection.execute("vacuum")
        connection.close()


def transcode(job: Job) -> None:
    """Reads in a stream, writes what is incompressible at a fraction of the size; an index is rewritten now and then."""
    sources = job.files(".mp4", ".wav")
    rate = job.chance.uniform(1.5e6, 6e6)
    output = job.room / "film.mkv"
    with open(output, "wb", buffering=0) as writer, open(job.room / "film.idx", "w+b", buffering=0) as index:
        while not job.over():
            for entry in job.chance.sample(sources, len(sources)):
                with open(job.root / entry.path, "rb", buffering=0) as reader:
                    while data := reader.read(256 << 10):
                        writer.write(job.chance.randbytes(max(1, len(data) // job.chance.choice([2, 3, 5]))))
                        index.seek(0)
                        index.write(writer.tell().to_bytes(8, "little") * 32)
                        time.sleep(len(data) / rate)
                        if job.over():
                            return


def fio_mix(job: Job) -> None:
    folder = job.room / "fio"
    folder.mkdir()
    while not job.over():
        shape = job.chance.choice(["randwrite", "randrw", "rw", "write"])
        fill = job.chance.choice([["--refill_buffers"], ["--zero_buffers"], ["--buffer_compress_percentage=50", "--refill_buffers"]])
        job.tool("fio", "--name=mix", f"--directory={folder}", "--size=24m", "--nrfiles=6", f"--rw={shape}", "--bssplit=4k/50:16k/30:64k/15:256k/5",
             *fill, f"--randseed={job.chance.randrange(1 << 30)}", "--time_based", f"--runtime={int(min(10, job.left()) + 1)}", "--thread",
             f"--fsync={job.chance.choice([0, 8, 64])}")


def build(job: Job) -> None:
    project = job.room / "project"
    (project / "src").mkdir(parents=True)
    (project / "obj").mkdir()
    names = [f"part{number}" for number in range(150)]

    def source(name: str) -> str:
        bodies = [f"int {name}_{part}(int a, int b) {{ int s = {job.chance.randrange(999)}; for (int i = 0; i < a; ++i) s += i * b ^ {part}; return s; }}\n"
                  for part in range(job.chance.randint(10, 60))]
        return "/* part of a project */\n" + "".join(bodies)

    for name in names:
        (project / "src" / f"{name}.c").write_text(source(name), encoding="ascii")
    changed = names
    while not job.over():
        for name in changed:
            job.tool("tcc", "-c", project / "src" / f"{name}.c", "-o", project / "obj" / f"{name}.o")
            if job.over():
                return
        job.tool("tcc", "-r", "-o", project / "all.o", *(project / "obj" / f"{name}.o" for name in names))
        changed = job.chance.sample(names, 25)
        for name in changed:
            (project / "src" / f"{name}.c").write_text(source(name), encoding="ascii")


def luks_container(job: Job) -> None:
    container, mapped, where = job.room / "container.img", Path("/dev/mapper/container"), Path("/tmp/container")
    where.mkdir()
    container.write_bytes(b"")
    os.truncate(container, 96 << 20)
    device = subprocess.run(["/bin/losetup", "-f"], capture_output=True, text=True, check=True).stdout.strip()
    volume.call("/bin/losetup", device, container)
    Path("/run/cryptsetup").mkdir(parents=True, exist_ok=True)
    Path("/tmp/container.key").write_text("test bed", encoding="ascii")
    volume.call("cryptsetup", "luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file",
                "/tmp/container.key", device)
    volume.call("cryptsetup", "open", "--key-file", "/tmp/container.key", device, mapped.name)
    volume.call("mkfs.ext4", "-q", "-F", mapped)
    volume.call("/bin/mount", "-t", "ext4", mapped, where)
    try:
        while not job.over():
            for entry in job.chance.sample(job.entries, 60):
                target = where / f"{job.chance.randrange(200)}{Path(entry.path).suffix}"
                shutil.copyfile(job.root / entry.path, target)
                if job.chance.random() < 0.2:
                    target.write_bytes(target.read_bytes()[::-1])
                if job.over():
                    break
            os.sync()
    finally:
        volume.call("/bin/umount", where)
        volume.call("cryptsetup", "close", mapped.name)
        volume.call("/bin/losetup", "-d", device)


def browse(job: Job) -> None:
    cache = job.room / "cache"
    cache.mkdir()
    history = sqlite3.connect(job.room / "history.sqlite")
    history.execute("create table visits (id integer primary key, url text, seen real)")
    kept: list[Path] = []
    page = corpus.Pools(random.Random(job.seed))
    while not job.over():
        for _ in range(job.chance.randint(5, 40)):
            path = cache / f"{job.chance.getrandbits(80):020x}"
            size = int(min(2e6, job.chance.lognormvariate(9.3, 1.3)))
            path.write_bytes(zlib.compress(page.take("text", size), 6) if job.chance.random() < 0.5 else page.take("noise", size))
            kept.append(path)
        with history:
            history.execute("insert into visits (url, seen) values (?, ?)", (f"https://site{job.chance.randrange(99)}.example/", time.time()))
        while len(kept) > 400:
            kept.pop(job.chance.randrange(len(kept))).unlink()
        for path in job.chance.sample(kept, min(10, len(kept))):
            path.read_bytes()
        time.sleep(job.chance.expovariate(1.5))
    history.close()


def office(job: Job) -> None:
    """Documents are opened, changed and saved as office programs do: a new file, renamed over the old one."""
    documents = job.files(".docx", ".xlsx", ".txt", ".csv")
    while not job.over():
        entry = job.chance.choice(documents)
        path = job.root / entry.path
        data = bytearray(path.read_bytes())
        at = job.chance.randrange(max(1, len(data)))
        data[at:at + 40] = job.chance.randbytes(60) if entry.path.endswith(("docx", "xlsx")) else b" some more words "
        temporary = path.with_name(f".~{path.name}")
        with open(temporary, "wb") as handle:
            handle.write(data)
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        job.changed[entry.path] = hashlib.sha256(data).hexdigest()
        time.sleep(job.chance.expovariate(1.2))


def photo_edit(job: Job) -> None:
    """Pictures turned or brightened in a batch: each is read, and its new form saved in its place."""
    pictures = job.files(".jpg")
    pause = job.chance.choice([0.1, 0.4, 1.0])
    for entry in job.chance.sample(pictures, len(pictures)):
        if job.over():
            return
        path = job.root / entry.path
        data = path.read_bytes()
        with open(path, "wb") as handle:
            handle.write(data[:600] + job.chance.randbytes(int(len(data) * job.chance.uniform(0.8, 1.1))))
        time.sleep(pause * job.chance.uniform(0.5, 1.5))


def idle(job: Job) -> None:
    while not job.over():
        time.sleep(min(job.left(), job.chance.uniform(3, 8)))
        with open(job.room / "syslog", "a", encoding="ascii") as log:
            log.write(f"{time.time():.3f} timer: nothing to do\n")


def light_use(job: Job) -> None:
    while not job.over():
        folder = job.root / job.chance.choice(job.folders())
        paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
        for path in job.chance.sample(paths, min(len(paths), job.chance.randint(1, 6))):
            data = path.read_bytes()
            if job.chance.random() < 0.15:
                path.write_bytes(data + b"\nadded\n")
            time.sleep(job.chance.expovariate(2))
        time.sleep(job.chance.uniform(0.5, 4))


RUN: dict[str, Callable[[Job], None]] = {
    "zip": zip_folders, "7z": seven_zip, "tar-xz": tar_xz, "gpg-file": gpg_file, "age-file": age_file, "aescrypt-file": aescrypt_file,
    "shred": shred, "rsync": rsync, "git-gc": git_gc, "apt-upgrade": apt_upgrade, "postgresql": postgresql, "sqlite": sqlite,
    "transcode": transcode, "fio-mix": fio_mix, "build": build, "luks-container": luks_container, "browse": browse, "office": office,
    "photo-edit": photo_edit, "idle": idle, "light-use": light_use,
}
