"""Folders on disk: what they hold, or why they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

from entrypoint.errors import Problem, ProblemKind


def access_problem(error: OSError) -> Problem:
    """Return why a file or folder could not be read or written."""
    if isinstance(error, FileNotFoundError):
        return Problem(ProblemKind.MISSING, "does not exist")
    if isinstance(error, NotADirectoryError):
        return Problem(ProblemKind.INVALID, "is not a folder")
    if isinstance(error, PermissionError):
        return permission_denied()
    return Problem(ProblemKind.UNREADABLE, error.strerror or str(error))


def why_unreadable(error: OSError) -> str:
    """Return why a file or folder could not be read or written, in a few words."""
    return access_problem(error).text


def permission_denied() -> Problem:
    """Return the problem of a file that this user may not read."""
    return Problem(ProblemKind.DENIED, f"permission denied for uid {os.geteuid()}")


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in ``folder``, including links to folders.

    Raises:
        OSError: ``folder`` cannot be listed.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
