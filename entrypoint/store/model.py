"""The model: the request for it, and the result of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoint.errors import SearchedPlace, Source
from entrypoint.store.disk.loading import Loading
from entrypoint.store.uri import without_secret

if TYPE_CHECKING:
    from entrypoint.store.tarballs.packed import Packed


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a model, and the places to search.

    Attributes:
        model_id: Repository id, local directory or artifact URI.
        revision: Branch, tag, full or unique short commit; None for the default.
        cache_roots: Folders that may hold ``models--org--name``; the first match is used.
        tarball: MODEL_TARBALL: a tarball or a directory of tarballs.
        offline: Whether network access to the hub is off.
        token: The hub's token. Never shown.
        scratch: The folder to unpack tarballs to.
        in_place: Whether the engine can load weights from inside a tarball.
        storage_uri: STORAGE_URI: KServe downloads this artifact to ``mount`` before the start.
        mount: The folder that KServe downloads to.
        endpoint: URL of the hub or its mirror; None for huggingface.co.
        environ: The environment of the processes that download and pull.
        loading: How the engine is to load the model.
        setting: What holds ``model_id``: a variable, or ``--model in ARG``.
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
    loading: Loading = field(default_factory=Loading)
    setting: str = "MODEL_ID"

    @property
    def variable(self) -> str:
        """The variable that holds ``model_id``."""
        return "ARG" if self.setting.endswith("ARG") else self.setting

    def assign(self, model_id: str, revision: str | None = None) -> str:
        """Return how to set another model, and another revision."""
        if self.variable == "ARG":
            more = f" --revision {revision}" if revision else ""
            return f"set --model {model_id}{more} in ARG"
        name = "MODEL_ID" if self.setting == "STORAGE_URI" else self.setting
        return f"set {name}={model_id}" + (f" and REVISION={revision}" if revision else "")

    def __repr__(self) -> str:
        return f"Request(model_id={without_secret(self.model_id)!r}, revision={self.revision!r})"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was found.

    Attributes:
        source: The kind of place where it was found.
        path: The directory that vLLM loads; None until the model is downloaded from the hub or a
            store.
        repository: ``org/name``; None if it is not known.
        revision: The commit; None if it is not known.
        requested_revision: REVISION.
        bytes: Size of the model's files; 0 if it is not known yet.
        searched: Each place that was searched, in order, this one last.
        archive: The tarball, if it must still be unpacked to ``path``.
        config: The content of ``config.json``; empty until the model is on the disk.
        weight_bytes: Size of the files with the weights; 0 if it is not known.
        packed: Its files in the tarball, if the engine loads the weights from there.
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
