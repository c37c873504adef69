"""A model that was found: where it is, which revision, how large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoint.errors import SearchedPlace, Source
from entrypoint.store.uri import without_secret

if TYPE_CHECKING:
    from entrypoint.store.tarballs.packed import Packed


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted, and where it may be looked for.

    Attributes:
        model_id: Repository id, local directory or artifact URI.
        revision: Branch, tag, full or unique short commit; None for the default.
        cache_roots: Folders that may hold ``models--org--name``, first match wins.
        tarball: What MODEL_TARBALL names: a tarball or a directory of them.
        offline: Whether the hub must not be asked.
        token: The hub's token. Never shown.
        scratch: Where tarballs are unpacked.
        in_place: Whether the engine can load weights that are inside a tarball.
        storage_uri: What STORAGE_URI names, which KServe fetches to ``mount`` before the start.
        mount: Where KServe puts it.
        endpoint: URL of the hub or its mirror; None for huggingface.co.
        environ: The environment of the processes that download and pull.
    """

    model_id: str
    revision: str | None
    cache_roots: tuple[Path, ...]
    tarball: Path | None
    offline: bool
    token: str | None
    scratch: Path
    in_place: bool = False
    storage_uri: str | None = field(default=None, repr=False)
    mount: Path = field(kw_only=True)
    endpoint: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Request(model_id={without_secret(self.model_id)!r}, revision={self.revision!r})"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was found.

    Attributes:
        source: The way that found it.
        path: The directory that vLLM loads; None while the model is yet to be fetched from the
            hub or a store.
        repository: ``org/name``, where the source knows it.
        revision: The commit, where the source knows it.
        requested_revision: What REVISION said.
        bytes: Size of the model's files, 0 where it is not known yet.
        searched: Each way that was tried, in order, this one last.
        archive: The tarball, while its content is still to be unpacked to ``path``.
        config: What its ``config.json`` says; empty while it is not on the disk.
        weight_bytes: Size of the files that hold its weights, 0 where it is not known.
        packed: Its files in the tarball that the engine loads the weights out of.
    """

    source: Source
    path: Path | None
    repository: str | None
    revision: str | None
    requested_revision: str | None
    bytes: int
    searched: tuple[SearchedPlace, ...]
    archive: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    weight_bytes: int = 0
    packed: Packed | None = field(default=None, repr=False)

    @property
    def on_disk(self) -> bool:
        """Whether ``path`` can be loaded now, without unpacking or downloading."""
        return self.path is not None and self.archive is None
