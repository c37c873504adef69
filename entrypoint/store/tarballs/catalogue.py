"""The catalogue of tarballs: a file that records what each one holds, so that none is read twice.

The file lies in the scratch directory. If it is missing, damaged or of another version, the
tarballs are read again. Only ``serve`` and ``models`` create the scratch directory; without it,
nothing is recorded.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from entrypoint.errors import RefusedArtifact
from entrypoint.store.progress import OnProgress, ignore_progress
from entrypoint.store.tarballs.contents import Contents, contents_from_json
from entrypoint.store.writing.complete_file import write_text

CATALOGUE = "catalogue.json"
FORMAT = 1
"""Increase it when the meaning of the file changes."""


class Catalogue:
    """What is known of tarballs. A tarball is identified by its path, size, time and inode.

    Args:
        scratch: The scratch directory, which may be missing.
    """

    def __init__(self, scratch: Path):
        self._path = scratch / CATALOGUE
        self._entries = _load(self._path)
        self._changed = False

    def known(self, archive: Path) -> Contents | None:
        """Return the recorded contents of a tarball, None if there are none or it was refused.

        Raises:
            OSError: It cannot be reached.
        """
        entry = self._entry(archive)
        try:
            return None if entry is None else contents_from_json(archive, entry["contents"])
        except (KeyError, TypeError, AttributeError):
            return None

    def look_up(
        self,
        archive: Path,
        *,
        to_the_end: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> Contents:
        """Return the contents of a tarball, which is read if they are not recorded.

        Args:
            archive: The tarball.
            to_the_end: Whether to read a compressed one to its end, which takes as long as
                unpacking it.
            on_progress: Called with each change of the bytes read.

        Raises:
            RefusedArtifact: It is damaged, truncated, or not a tarball.
            OSError: It cannot be read.
        """
        # Most starts need no tarfile, which takes time to import.
        from entrypoint.store.tarballs.survey import peek, survey

        known = self.known(archive)
        if known is not None and (known.listed or not to_the_end):
            return known
        entry = self._entry(archive)
        if entry is not None and isinstance(entry.get("refused"), str):
            raise RefusedArtifact(archive, entry["refused"])
        identity = _identity(archive)
        try:
            contents = survey(archive, on_progress) if to_the_end else peek(archive)
        except RefusedArtifact as error:
            self._remember(archive, {"identity": identity, "refused": error.problem})
            raise
        self._remember(archive, {"identity": identity, "contents": contents.as_json()})
        return contents

    def save(self) -> None:
        """Write the file, if it can be written, without the tarballs that no longer exist."""
        if not (self._changed and self._path.parent.is_dir()):
            return
        existing = {path: entry for path, entry in self._entries.items() if os.path.exists(path)}
        text = json.dumps({"format": FORMAT, "tarballs": existing})
        with contextlib.suppress(OSError):
            write_text(self._path, text, durable=False)

    def _entry(self, archive: Path) -> dict[str, Any] | None:
        entry = self._entries.get(os.path.abspath(archive))
        if isinstance(entry, dict) and entry.get("identity") == _identity(archive):
            return entry
        return None

    def _remember(self, archive: Path, entry: dict[str, Any]) -> None:
        self._entries[os.path.abspath(archive)] = entry
        self._changed = True


def _identity(archive: Path) -> list[int]:
    state = os.stat(archive)
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return {}
    tarballs = document.get("tarballs")
    return tarballs if isinstance(tarballs, dict) else {}
