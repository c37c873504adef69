"""The one directory that the runtime writes to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from entrypoint.errors import MachineError


def _can_write(directory: Path) -> bool:
    """Whether a directory can be written to, or made."""
    while not directory.exists():
        if directory == directory.parent:
            return False
        directory = directory.parent
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


def scratch_directory(environ: Mapping[str, str]) -> Path:
    """Return where tarballs are unpacked and timings kept. It is not made here.

    The user's cache (``$XDG_CACHE_HOME``, else ``~/.cache``) where that can be written to, so
    that it outlives a restart; else a private folder in ``$TMPDIR`` (``/tmp``).

    Raises:
        MachineError: Nothing can be written to, or the private folder is somebody else's.
    """
    home = environ.get("HOME")
    cache_home = environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    preferred = Path(cache_home, "inference-server")
    if preferred.is_absolute() and _can_write(preferred):
        return preferred
    temporary = Path(environ.get("TMPDIR") or tempfile.gettempdir())
    private = temporary / f"inference-server-{os.getuid()}"
    if not _can_write(private):
        raise MachineError(
            f"No directory can be written to: neither {preferred.absolute()} nor {private}.",
            variable="TMPDIR",
            hint="Mount a writable volume on /tmp (docker run --tmpfs /tmp:exec; an emptyDir in "
            "Kubernetes), or point XDG_CACHE_HOME at one.",
        )
    # /tmp is shared: another user may have made the folder first, to plant a model in it
    if private.is_symlink() or (private.exists() and private.stat().st_uid != os.getuid()):
        raise MachineError(
            f"The scratch directory {private} belongs to another user.",
            variable="TMPDIR",
            hint="Remove it, or point XDG_CACHE_HOME at a directory of this user's.",
        )
    return private
