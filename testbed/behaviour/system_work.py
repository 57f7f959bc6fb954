# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Programs for files, data and systems whose disk accesses look like an encryptor's in one way or another."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import volume
from .job import Job

POSTGRES = Path("/usr/lib/postgresql/15/bin")
POSTGRES_USER = 70
INIT_SECONDS, LEAST_DATABASE_SECONDS = 90.0, 30.0
CONTAINER_ROOM = 24 << 20


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
    # tar starts it by the guest's shell, which takes its own xz, one that only unpacks, before any other without a path.
    _archives(job, lambda folder, target: job.tool("tar", "-c", "-I", "/usr/bin/xz -0", "-f", f"{target}.tar.xz", folder, cwd=job.root))


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
                if shutil.disk_usage(where).free < CONTAINER_ROOM:
                    for path in where.glob("*.*"):
                        path.unlink()
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
