"""The files of one model, in a directory or inside a tarball."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from entrypoint.errors import Problem, ProblemKind
from entrypoint.store.disk.folder import access_problem, permission_denied


class ModelFiles(Protocol):
    """The files of one model. Names are relative to its folder, with ``/``."""

    @property
    def place(self) -> Path:
        """The model's place, for messages."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """``{name: bytes}`` of all files, links followed; 0 for a dangling link."""

    @property
    def problems(self) -> Mapping[str, Problem]:
        """``{name: problem}`` of the files that cannot be read."""

    def read(self, name: str, count: int = -1, offset: int = 0) -> bytes:
        """Return ``count`` bytes of a file from ``offset``; -1 for all up to its end.

        Raises:
            OSError: The file cannot be read.
        """


@dataclass(frozen=True, slots=True)
class DirectoryFiles:
    """The files of a model directory."""

    place: Path
    sizes: Mapping[str, int]
    problems: Mapping[str, Problem]

    def read(self, name: str, count: int = -1, offset: int = 0) -> bytes:
        """Return ``count`` bytes of a file from ``offset``; -1 for all up to its end."""
        with (self.place / name).open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(count)


def dangling_link(target: str) -> Problem:
    """Return the problem of a link whose target does not exist."""
    return Problem(ProblemKind.DANGLING, f"dangling link to {target}")


def _unreachable(path: str, error: OSError) -> Problem:
    """Return the problem of a file whose size cannot be read."""
    if isinstance(error, FileNotFoundError):
        with suppress(OSError):  # not a link, or removed just now
            return dangling_link(os.readlink(path))
    return access_problem(error)


def directory_files(directory: Path, depth: int | None = None) -> DirectoryFiles:
    """Return the files of a model directory.

    Args:
        directory: The directory.
        depth: How many folders deep to look; None for all.
    """
    sizes: dict[str, int] = {}
    problems: dict[str, Problem] = {}
    top = str(directory).rstrip(os.sep).count(os.sep)

    def add_unreadable_folder(error: OSError) -> None:
        problems[os.path.relpath(error.filename, directory)] = access_problem(error)

    for place, folders, files in os.walk(directory, onerror=add_unreadable_folder):
        # .git and .cache hold the copies and records of the tools that downloaded the model.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if depth is not None and place.count(os.sep) - top >= depth:
            folders.clear()
        for file in sorted(files):
            path = os.path.join(place, file)
            name = os.path.relpath(path, directory)
            try:
                sizes[name] = os.stat(path).st_size
            except OSError as error:
                sizes[name] = 0
                problems[name] = _unreachable(path, error)
                continue
            if not os.access(path, os.R_OK):
                problems[name] = permission_denied()
    return DirectoryFiles(directory, sizes, problems)
