"""A tarball that may hold the model: where it is, what it is called, where it is unpacked to."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of an unpack target; a second process waits here for the first.

    The lock ends with the process that holds it, however that ends.

    Raises:
        OSError: The folder of the target cannot be written to.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock_file(target).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def partial_target(target: Path) -> Path:
    """Where a run unpacks to before it renames the whole to ``target``."""
    return target.with_name(f".{target.name}.{os.getpid()}.partial")


def remove_leftovers(target: Path) -> None:
    """Remove what killed runs left half unpacked. Call it with the lock of ``target`` held.

    Process numbers say nothing here: another pod's container has the same ones. A lock that can be
    had says that nobody unpacks there.
    """
    for partial in target.parent.glob(".*.partial"):
        owner = target.with_name(partial.name[1:].removesuffix(".partial").rpartition(".")[0])
        if owner == target:
            shutil.rmtree(partial, ignore_errors=True)
            continue
        with _lock_file(owner).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(partial, ignore_errors=True)


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")
