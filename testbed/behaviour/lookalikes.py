# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""The look-alikes by their names in the catalogue."""

from __future__ import annotations

from collections.abc import Callable

from . import daily_work, system_work
from .job import Job, TimeUp

__all__ = ["RUN", "Job", "TimeUp"]

RUN: dict[str, Callable[[Job], None]] = {
    "zip": system_work.zip_folders, "7z": system_work.seven_zip, "tar-xz": system_work.tar_xz, "gpg-file": system_work.gpg_file,
    "age-file": system_work.age_file, "aescrypt-file": system_work.aescrypt_file, "shred": system_work.shred, "rsync": system_work.rsync,
    "git-gc": system_work.git_gc, "apt-upgrade": system_work.apt_upgrade, "postgresql": system_work.postgresql, "sqlite": daily_work.sqlite,
    "transcode": daily_work.transcode, "fio-mix": system_work.fio_mix, "build": system_work.build,
    "luks-container": system_work.luks_container, "browse": daily_work.browse, "office": daily_work.office,
    "photo-edit": daily_work.photo_edit, "idle": daily_work.idle, "light-use": daily_work.light_use,
}
