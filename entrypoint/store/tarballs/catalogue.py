"""The catalogue of tarballs: what was found in each, so that none is read twice.

It is a file in the scratch directory, and only a memory: where it is missing, damaged or of
another version, the tarballs are read again. It is written where the scratch directory exists,
which ``serve`` and ``models`` make; looking for a model makes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.cache import Repository
from entrypoint.store.progress import OnProgress, ignore_progress
from entrypoint.store.writing.complete_file import write_text

CATALOGUE = "catalogue.json"
FORMAT = 1
"""Goes up when what is written changes its meaning."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a tarball holds, as far as that is known.

    Attributes:
        repositories: ``{org/name: what is there of it}``, in the layout of the cache.
        sizes: ``{org/name: bytes}``; of a plain model under the name ``""``.
        formats: ``{org/name: suffixes of its weight files}``; of a plain model as ``sizes``.
        plain: Whether it is a plain model directory.
        listed: Whether all of it was seen; else ``repositories`` is one name with nothing in it.
        compressed: Whether it is compressed.
    """

    repositories: Mapping[str, Repository]
    sizes: Mapping[str, int]
    formats: Mapping[str, tuple[str, ...]]
    plain: bool
    listed: bool
    compressed: bool


class Catalogue:
    """What is known of tarballs, each told by its path, size, time and inode.

    Args:
        scratch: The scratch directory, which need not exist.
    """

    def __init__(self, scratch: Path):
        self._path = scratch / CATALOGUE
        self._entries = _load(self._path)
        self._changed = False

    def known(self, archive: Path) -> Contents | None:
        """What is known of a tarball without reading it; None if nothing, or that it is refused.

        Raises:
            OSError: It cannot be reached.
        """
        entry = self._entry(archive)
        try:
            return None if entry is None else _contents(archive, entry["contents"])
        except (KeyError, TypeError, AttributeError):
            return None

    def look(
        self,
        archive: Path,
        *,
        whole: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> Contents:
        """What a tarball holds; it is read if that is not known.

        Args:
            archive: The tarball.
            whole: Whether a compressed one is read to its end, which takes as long as to unpack it.
            on_progress: Called with each change of the bytes read.

        Raises:
            RefusedArtifact: It is damaged, cut short, or no tarball.
            OSError: It cannot be read.
        """
        from entrypoint.store.tarballs.archive import peek, survey  # tarfile is only wanted here

        known = self.known(archive)
        if known is not None and (known.listed or not whole):
            return known
        entry = self._entry(archive)
        if entry is not None and isinstance(entry.get("refused"), str):
            raise RefusedArtifact(archive, entry["refused"])
        identity = _identity(archive)
        try:
            contents = survey(archive, on_progress) if whole else peek(archive)
        except RefusedArtifact as error:
            self._remember(archive, {"identity": identity, "refused": error.problem})
            raise
        self._remember(archive, {"identity": identity, "contents": _as_json(contents)})
        return contents

    def save(self) -> None:
        """Keep what was learned, if it can be kept; what is no longer there is forgotten."""
        if not (self._changed and self._path.parent.is_dir()):
            return
        there = {path: entry for path, entry in self._entries.items() if os.path.exists(path)}
        text = json.dumps({"format": FORMAT, "tarballs": there})
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


def _as_json(contents: Contents) -> dict[str, Any]:
    repositories = {
        name: {"commits": repository.commits, "refs": dict(repository.refs)}
        for name, repository in contents.repositories.items()
    }
    return {
        "repositories": repositories,
        "sizes": dict(contents.sizes),
        "formats": dict(contents.formats),
        "plain": contents.plain,
        "listed": contents.listed,
        "compressed": contents.compressed,
    }


def _contents(archive: Path, value: Mapping[str, Any]) -> Contents:
    return Contents(
        {
            name: Repository(name, archive, tuple(found["commits"]), dict(found["refs"]))
            for name, found in value["repositories"].items()
        },
        dict(value["sizes"]),
        {name: tuple(formats) for name, formats in value["formats"].items()},
        bool(value["plain"]),
        bool(value["listed"]),
        bool(value["compressed"]),
    )
