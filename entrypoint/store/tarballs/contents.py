"""What is known of the models in a tarball."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from entrypoint.store.disk.cache import Repository


@dataclass(frozen=True, slots=True)
class Contents:
    """The models in a tarball, as far as they are known.

    Attributes:
        repositories: ``{org/name: its revisions}``, in the layout of the cache.
        sizes: ``{org/name: bytes}``. A plain model has the name ``""``.
        formats: ``{org/name: suffixes of its weight files}``. A plain model has the name ``""``.
        plain: Whether it is a plain model directory.
        listed: Whether all members were read. Otherwise ``repositories`` has at most one name,
            without revisions.
        compressed: Whether it is compressed.
    """

    repositories: Mapping[str, Repository]
    sizes: Mapping[str, int]
    formats: Mapping[str, tuple[str, ...]]
    plain: bool
    listed: bool
    compressed: bool

    def as_json(self) -> dict[str, Any]:
        """Return the contents as :func:`contents_from_json` reads them."""
        repositories = {
            name: {"commits": repository.commits, "refs": dict(repository.refs)}
            for name, repository in self.repositories.items()
        }
        return {**asdict(self), "repositories": repositories}


def contents_from_json(archive: Path, value: Mapping[str, Any]) -> Contents:
    """Return the contents of a tarball that :meth:`Contents.as_json` wrote.

    Raises:
        KeyError, TypeError, AttributeError: It wrote something else.
    """
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
