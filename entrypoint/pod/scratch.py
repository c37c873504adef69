"""The one directory that the runtime and its engine write to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from entrypoint.errors import MachineError, StorageError


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest one above it that exists."""
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def can_write(directory: Path) -> bool:
    """Whether a directory can be written to, or made."""
    existing = nearest_existing(directory)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def scratch_directory(environ: Mapping[str, str]) -> Path:
    """Return where tarballs are unpacked, compiled code and timings kept. It is not made here.

    The user's cache (``$XDG_CACHE_HOME``, else ``~/.cache``) where that can be written to, so
    that it outlives a restart; else a private folder in ``$TMPDIR`` (``/tmp``).

    Raises:
        MachineError: Nothing can be written to, or the private folder is somebody else's.
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
            f"No directory can be written to: neither {preferred.absolute()} nor {private}.",
            variable="TMPDIR",
            hint="Mount a writable volume on /tmp (docker: --tmpfs /tmp:exec; Kubernetes: an "
            "emptyDir), or point XDG_CACHE_HOME at one.",
        )
    # /tmp is shared: another user may have made the folder first, to plant a model in it
    if private.is_symlink() or (private.exists() and private.stat().st_uid != os.getuid()):
        raise MachineError(
            f"The scratch directory {private} belongs to another user.",
            variable="TMPDIR",
            hint="Remove it, or point XDG_CACHE_HOME at a directory of this user's.",
        )
    return private


def make_scratch(directory: Path) -> None:
    """Make the scratch directory, for this user only: code is loaded from it.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The scratch directory {directory} cannot be made: {error.strerror}.",
            variable="XDG_CACHE_HOME",
            hint="Point XDG_CACHE_HOME, or TMPDIR, at a folder with room that this user may write "
            "to.",
        ) from None
