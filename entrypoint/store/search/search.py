"""One search for a model: the places searched, the models found there, and the resulting error."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from entrypoint.errors import (
    InferenceServerError,
    ModelNotFound,
    SearchedPlace,
    Source,
    UnreadableModel,
)
from entrypoint.spelling import nearest
from entrypoint.store.disk.cache import Snapshot, read_repository
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import permission_denied
from entrypoint.store.disk.integrity import read_config
from entrypoint.store.disk.weights import weight_bytes
from entrypoint.store.model import Model, Request
from entrypoint.store.tarballs.catalogue import Catalogue


class Search:
    """The state of a search.

    Attributes:
        request: The requested model, and where to search for it.
        places: Each place that was searched, in order.
        available: ``{org/name: folder, or revisions if it is in a tarball}``.
        likely_directory: A model's directory that was probably meant.
        likely_cache: A cache that is not among the roots, but was probably meant.
        catalogue: The known contents of tarballs.
        error: The first error of a place that has the model but cannot provide it as requested.
    """

    def __init__(self, request: Request):
        self.request = request
        self.places: list[SearchedPlace] = []
        self.available: dict[str, Path | Sequence[str]] = {}
        self.likely_cache: Path | None = None
        self.likely_directory: Path | None = None
        self.catalogue = Catalogue(request.scratch)
        self.error: InferenceServerError | None = None
        self._denied: Path | None = None

    def add(self, way: Source, place: object, outcome: str) -> None:
        """Record a place and the outcome of searching it."""
        self.places.append(SearchedPlace(way, str(place), outcome))

    def add_denied(self, way: Source, place: Path) -> None:
        """Record a place that this user may not read, and that may hold the model."""
        self.add(way, place, permission_denied().text)
        self._denied = self._denied or place

    def add_error(self, way: Source, place: object, error: InferenceServerError) -> None:
        """Record a place that has the model but cannot provide it as requested.

        The search continues, because another place may have a complete copy. If none has, the
        first such error is the result.
        """
        self.add(way, place, error.summary)
        self.error = self.error or error

    def model(self, way: Source, place: object, outcome: str) -> Model:
        """Return a model of which only the place is known, after recording the place."""
        self.add(way, place, outcome)
        return Model(way, None, None, None, self.request.revision, 0, tuple(self.places))

    def found(self, way: Source, place: object, snapshot: Snapshot, detail: str = "") -> Model:
        """Return the model of a snapshot, after recording the place."""
        if self.request.revision and snapshot.commit is None:
            detail += f"; REVISION {self.request.revision!r} does not apply to it"
        files = directory_files(snapshot.path)
        return replace(
            self.model(way, place, f"found{detail}"),
            path=snapshot.path.absolute(),
            repository=snapshot.repository,
            revision=snapshot.commit,
            bytes=snapshot.bytes,
            config=read_config(files),
            weight_bytes=weight_bytes(files, self.request.loading.load_format),
        )

    def add_to(self, error: InferenceServerError) -> None:
        """Add the searched places to the error, if it is about a model that was not found."""
        if isinstance(error, ModelNotFound):
            error.add_search(self.places, self.available_revisions())

    def failure(self) -> InferenceServerError:
        """Return the error for a search without a result."""
        if self.error:
            self.add_to(self.error)
            return self.error
        if self._denied and not self.likely_cache:
            return UnreadableModel(self._denied, (), self.places)
        available = self.available_revisions()
        near = _meant(self.request.model_id, available)
        return ModelNotFound(
            self.request.model_id,
            self.places,
            available,
            near,
            message=f"The model {self.request.model_id!r} ({self.request.setting}) was not found.",
            variable=self.request.variable,
            hint=self._hint(near),
        )

    def available_revisions(self) -> dict[str, Sequence[str]]:
        """Return ``{org/name: revisions}`` of the available models.

        The revisions are only read here, because only errors show them.
        """
        available: dict[str, Sequence[str]] = {}
        for name, place in self.available.items():
            try:
                found = read_repository(place).revisions() if isinstance(place, Path) else place
            except OSError:
                found = ()
            available[name] = found or ("no complete revision",)
        return available

    def _hint(self, near: str | None) -> str:
        download = ["inference-server", "download", self.request.model_id]
        if self.request.revision:
            download += ["--revision", self.request.revision]
        if self.request.cache_roots:
            download += ["--cache-dir", str(self.request.cache_roots[0])]
        fixes = [
            f"set HF_HUB_CACHE={self.likely_cache}" if self.likely_cache else "",
            self.request.assign(str(self.likely_directory)) if self.likely_directory else "",
            self.request.assign(near) if near else "",
            f"download it on a machine with network access: {shlex.join(download)}",
            "set HF_HUB_OFFLINE=0 to download it here.",
        ]
        hint = ". Or ".join(filter(None, fixes))
        return hint[0].upper() + hint[1:]


def _meant(model_id: str, available: Collection[str]) -> str | None:
    """Return the available model that was probably meant: by its name, or without its owner."""
    alone = [name for name in available if name.rpartition("/")[2].lower() == model_id.lower()]
    return alone[0] if len(alone) == 1 else nearest(model_id, available)
