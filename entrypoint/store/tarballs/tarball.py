"""Tarballs in a folder, and the directories that they are unpacked to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from entrypoint.store.disk.tarball_names import SUFFIXES, without_suffix
from entrypoint.store.tarballs.other_archives import is_other_archive


def find_tarballs(folder: Path) -> list[Path]:
    """Return the tarballs directly in ``folder``, sorted by name.

    Raises:
        OSError: ``folder`` cannot be listed.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SUFFIXES)]
    return [folder / name for name in sorted(names) if (folder / name).is_file()]


def find_other_archives(folder: Path) -> list[str]:
    """Return the names of archives in ``folder`` that are not read, sorted.

    Raises:
        OSError: ``folder`` cannot be listed.
    """
    names = sorted(os.listdir(folder))
    upper = [n for n in names if n.lower().endswith(SUFFIXES) and not n.endswith(SUFFIXES)]
    return sorted({*upper, *(name for name in names if is_other_archive(name))})


def stem(archive: Path) -> str:
    """Return the name without its suffix."""
    return without_suffix(archive.name)


def unpack_target(scratch: Path, archive: Path, model_id: str, folder: str = "") -> Path:
    """Return the directory to unpack ``model_id`` of ``archive`` to.

    Each tarball, also of the same name, has its own directory, and so has each model in it, because
    only the requested one is unpacked. ``folder`` gives each folder whose weights stay in the
    tarball its own directory too.

    Raises:
        OSError: The archive cannot be reached.
    """
    state = archive.stat()
    identity = f"{archive.resolve()}\n{state.st_size}\n{state.st_mtime_ns}\n{model_id}"
    if folder:
        identity += f"\n{folder}"
    digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    # A file name has at most 255 bytes, and the lock and the partial folder have longer names.
    return scratch / "models" / f"{stem(archive)[:64]}-{digest[:12]}"
