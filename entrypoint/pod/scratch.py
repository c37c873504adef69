"""The scratch directory, the only one that the runtime and its engine write to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import MachineError, StorageError


def nearest_existing(path: Path) -> Path:
    """Return the path if it exists, otherwise its nearest existing parent."""
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def can_write(directory: Path) -> bool:
    """Return whether a directory is writable, or can be created."""
    existing = nearest_existing(directory)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


TEMPORARY = Path("/tmp")
"""Where temporary files go without TMPDIR."""

TEMPORARY_BYTES = 64 << 10
"""How much space a launch's own temporary files need: its status, twice."""

TEMPORARY_FILES = 4
"""How many temporary files a launch has: a folder, a socket, the status and its next version."""


@dataclass(frozen=True, slots=True)
class Temporary:
    """Where files go that end with the launch.

    Attributes:
        path: The directory.
        problem: Why it is not TMPDIR; None if it is, or if TMPDIR is not set.
    """

    path: Path
    problem: str | None = None


def temporary_directory(environ: Mapping[str, str]) -> Temporary:
    """Return TMPDIR, or ``/tmp`` if TMPDIR is not set or cannot be used.

    Raises:
        MachineError: Neither can be used.
    """
    chosen = environ.get("TMPDIR")
    problem = _temporary_problem(Path(chosen)) if chosen else None
    if chosen and problem is None:
        return Temporary(Path(chosen))
    of_default = _temporary_problem(TEMPORARY)
    if of_default is None:
        return Temporary(TEMPORARY, f"TMPDIR={chosen!r} {problem}" if problem else None)
    named = f"TMPDIR={chosen!r} {problem}, and {TEMPORARY}" if problem else str(TEMPORARY)
    raise MachineError(
        f"No directory for temporary files: {named} {of_default}.",
        variable="TMPDIR",
        hint="Mount a writable volume on /tmp (docker: --tmpfs /tmp:exec; Kubernetes: an "
        "emptyDir), or set TMPDIR to the absolute path of a writable directory with free space.",
    )


def _temporary_problem(place: Path) -> str | None:
    """Return why a directory cannot hold a launch's temporary files."""
    if not place.is_absolute():
        return "is not an absolute path"
    try:
        if not place.is_dir():
            return "is not a directory" if place.exists() else "does not exist"
        system = os.statvfs(place)
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if not can_write(place):
        return f"is not writable for user {os.getuid()}"
    if system.f_bavail * system.f_frsize < TEMPORARY_BYTES:
        return "has no space left"
    # a file system that makes its inodes as needed has none to count
    if system.f_files and system.f_favail < TEMPORARY_FILES:
        return "has no inodes left: it holds too many files"
    return None


def scratch_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory for unpacked tarballs, compiled code and timings; do not create it.

    It is in the user's cache (``$XDG_CACHE_HOME``, by default ``~/.cache``) if that is writable,
    so that it survives a restart. Otherwise it is a private folder in ``$TMPDIR`` (``/tmp``).

    Raises:
        MachineError: Neither is writable, or the private folder belongs to another user.
    """
    home = environ.get("HOME")
    cache_home = environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    preferred = Path(cache_home, "inference-server")
    if preferred.is_absolute() and can_write(preferred):
        return preferred
    temporary = Path(environ.get("TMPDIR") or TEMPORARY).absolute()
    private = temporary / f"inference-server-{os.getuid()}"
    if not can_write(private):
        raise MachineError(
            f"No scratch directory: neither {preferred.absolute()} nor {private} is writable.",
            variable="TMPDIR",
            hint="Mount a writable volume on /tmp (docker: --tmpfs /tmp:exec; Kubernetes: an "
            "emptyDir), or set XDG_CACHE_HOME to a folder on one.",
        )
    # in the shared /tmp, another user can create the folder first, to plant a model in it
    if private.is_symlink() or (private.exists() and private.stat().st_uid != os.getuid()):
        raise MachineError(
            f"The scratch directory {private} belongs to another user.",
            variable="TMPDIR",
            hint="Remove it, or set XDG_CACHE_HOME to a folder of this user.",
        )
    return private


def make_scratch(directory: Path) -> None:
    """Create the scratch directory for this user only, because code is loaded from it.

    Raises:
        StorageError: It cannot be created.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The scratch directory {directory} cannot be created: {error.strerror}.",
            variable="XDG_CACHE_HOME",
            hint="Set XDG_CACHE_HOME or TMPDIR to a writable folder with free space.",
        ) from None
