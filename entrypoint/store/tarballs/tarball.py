"""A tarball that may hold the model: where it is, what it is called, where it is unpacked to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from entrypoint.store.disk.tarball_names import SUFFIXES, without_suffix


def find_tarballs(folder: Path) -> list[Path]:
    """The tarballs right in ``folder``, sorted by name.

    Raises:
        OSError: ``folder`` cannot be listed.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SUFFIXES)]
    return [folder / name for name in sorted(names) if (folder / name).is_file()]


def stem(archive: Path) -> str:
    """The name without what says that it is a tarball."""
    return without_suffix(archive.name)


def unpack_target(scratch: Path, archive: Path, model_id: str, folder: str = "") -> Path:
    """The directory that ``model_id`` is unpacked to from ``archive``.

    Another tarball of the same name gets another directory, and so does another model of the same
    tarball, because only the wanted one is unpacked. So does each folder of it whose weights are
    left inside.

    Raises:
        OSError: The archive cannot be reached.
    """
    state = archive.stat()
    identity = f"{archive.resolve()}\n{state.st_size}\n{state.st_mtime_ns}\n{model_id}"
    if folder:
        identity += f"\n{folder}"
    digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    # A file name has at most 255 bytes, and the lock and the partial folder add to this one.
    return scratch / "models" / f"{stem(archive)[:64]}-{digest[:12]}"
