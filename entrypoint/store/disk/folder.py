"""A folder on disk: what it holds, or in words why that cannot be known."""

from __future__ import annotations

import os
from pathlib import Path


def why_unreadable(error: OSError) -> str:
    """Say in a few words why a file or folder could not be read or written."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, NotADirectoryError):
        return "is not a folder"
    if isinstance(error, PermissionError):
        return permission_denied()
    return error.strerror or str(error)


def permission_denied() -> str:
    """The words for what this user may not read."""
    return f"permission denied for uid {os.geteuid()}"


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in ``folder``, sorted, links to folders included.

    Raises:
        OSError: ``folder`` cannot be listed.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
