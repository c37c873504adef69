"""The scratch directory, the only one that the runtime and its engine write to."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    temporary = Path(environ.get("TMPDIR") or "/tmp")
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
