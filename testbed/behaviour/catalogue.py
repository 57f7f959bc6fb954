# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""Which workloads there are. Read on the host and in the guest."""

from __future__ import annotations

ENCRYPTOR, LOOK_ALIKE, ORDINARY = "encryptor", "look-alike", "ordinary"
FILE_SYSTEMS = ("ext4", "ntfs", "luks")
FOLDER = "home"  # of the documents, on the volume

ENCRYPTORS = {
    "in-place": "each file read and overwritten where it lies, then renamed",
    "copy-delete": "an encrypted copy beside each file, then the file deleted",
    "copy-wipe": "an encrypted copy beside each file, the file overwritten with noise and deleted",
    "partial": "stretches of each file overwritten where they lie, with gaps that stay as they were",
    "headers": "the first bytes of each file only",
    "slow": "in place, with long pauses",
    "threads": "in place by several threads at once, without a flush",
    "compress-encrypt": "each file compressed and encrypted into a new one, then deleted",
    "by-name": "in place, all files of the volume in the order of their names",
    "by-size": "in place, the largest files first",
    "by-time": "copies of the files last changed first, then deletion",
    "rename-first": "every file of a folder renamed, then overwritten where it lies through a memory map",
    "openssl-tool": "openssl, a process for each file, then the file overwritten and deleted",
    "gpg-tool": "gpg, a process for each file, then deletion",
    "7z-tool": "7z with a password, an archive for each folder, then the files overwritten and deleted",
}
LOOK_ALIKES = {
    "zip": "zip of whole folders; the files stay",
    "7z": "7z of whole folders; the files stay",
    "tar-xz": "tar and xz of whole folders",
    "gpg-file": "gpg of a few large files, one by one; the files stay",
    "age-file": "age of a few large files, one by one; the files stay",
    "aescrypt-file": "AES of single files now and then, the file deleted after it",
    "shred": "shred of some folders' files, three passes each",
    "rsync": "rsync of the documents to a second folder, changes, rsync again",
    "git-gc": "a repository with history packed again and again",
    "apt-upgrade": "dpkg unpacks packages, then newer ones over them",
    "postgresql": "PostgreSQL under a mix of reads and updates",
    "sqlite": "SQLite databases under transactions, then vacuumed",
    "transcode": "a long file read in a stream, its compressed form written in a stream",
    "fio-mix": "fio: random and sequential, of several sizes, into its own files",
    "build": "a C project of many small files compiled and linked, then again after changes",
    "luks-container": "an encrypted container file, mounted and worked in",
    "browse": "a web browser's caches: many small compressed files come and go, databases of history",
    "office": "documents opened, changed and saved anew beside the old ones",
    "photo-edit": "pictures read, changed and saved in place of the old ones",
}
ORDINARY_USE = {
    "idle": "nobody does anything but the system's own timers",
    "light-use": "folders listed, a document read or changed now and then",
}
WORKLOADS = {**dict.fromkeys(ENCRYPTORS, ENCRYPTOR), **dict.fromkeys(LOOK_ALIKES, LOOK_ALIKE), **dict.fromkeys(ORDINARY_USE, ORDINARY)}
# ntfs-3g keeps no owners unless it is told to map them; PostgreSQL does not start in a folder that is not its own.
NEEDS_OWNERS = {"postgresql"}


def possible(workload: str, file_system: str) -> bool:
    return not (file_system == "ntfs" and workload in NEEDS_OWNERS)
