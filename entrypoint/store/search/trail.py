"""The trail of a search: the ways that were tried, what is there instead, and the error."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from entrypoint.errors import (
    Attempt,
    IncompleteModel,
    InferenceServerError,
    ModelNotFound,
    RefusedArtifact,
    RevisionNotFound,
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


class Trail:
    """What a search has come across so far.

    Attributes:
        attempts: Each way that was tried, in order.
        available: ``{org/name: its folder, or its revisions where it is in a tarball}``.
        elsewhere: A cache that was likely meant and is not among the roots.
        catalogue: What is known of tarballs.
    """

    def __init__(self, request: Request):
        self.request = request
        self.attempts: list[Attempt] = []
        self.available: dict[str, Path | Sequence[str]] = {}
        self.elsewhere: Path | None = None
        self.catalogue = Catalogue(request.scratch)
        self._failure: InferenceServerError | None = None
        self._denied: Path | None = None

    def tried(self, way: Source, place: object, outcome: str) -> None:
        """Record a way that did not find the model."""
        self.attempts.append(Attempt(way, str(place), outcome))

    def denied(self, way: Source, place: Path, outcome: str) -> None:
        """Record a place that this user may not look into; the model may well be there."""
        self.tried(way, place, outcome)
        self._denied = self._denied or place

    def failed(self, way: Source, place: object, failure: InferenceServerError) -> None:
        """Record a place that has the model and not as it should be; the first such is the error.

        The search goes on: another place may have it whole.
        """
        match failure:
            case UnreadableModel():
                outcome = ": ".join((permission_denied().text, *failure.files[:3]))
            case IncompleteModel():
                outcome = "not whole: " + ", ".join(list(failure.problems)[:3])
            case RevisionNotFound():
                wanted = repr(self.request.revision) if self.request.revision else "to choose"
                outcome = f"has the model, without the revision {wanted}"
            case RefusedArtifact():
                outcome = failure.problem
            case _:
                outcome = failure.message
        self.tried(way, place, outcome)
        self._failure = self._failure or failure

    @property
    def has_failed(self) -> bool:
        """Whether a place has the model, and not as it should be."""
        return self._failure is not None

    def found(self, way: Source, place: object, snapshot: Snapshot, outcome: str = "") -> Model:
        """The model that the search ends with."""
        if self.request.revision and snapshot.commit is None:
            outcome += f"; REVISION {self.request.revision!r} does not apply to it"
        self.tried(way, place, f"found{outcome}")
        files = directory_files(snapshot.path)
        return Model(
            source=way,
            path=snapshot.path.absolute(),
            repository=snapshot.repository,
            revision=snapshot.commit,
            requested_revision=self.request.revision,
            bytes=snapshot.bytes,
            searched=tuple(self.attempts),
            config=read_config(files),
            weight_bytes=weight_bytes(files),
        )

    def add_to(self, error: InferenceServerError) -> None:
        """Add the searched places to the error, if it is about a model that was not found."""
        if isinstance(error, ModelNotFound):
            error.add_search(self.attempts, self.revisions())

    def give_up(self) -> NoReturn:
        """Raise the first failure, or that the model is nowhere, or where it cannot be seen."""
        if self._failure:
            self.add_to(self._failure)
            raise self._failure
        if self._denied and not self.elsewhere:
            raise UnreadableModel(self._denied, (), self.attempts)
        available = self.revisions()
        near = nearest(self.request.model_id, available)
        raise ModelNotFound(
            self.request.model_id, self.attempts, available, near, hint=self._hint(near)
        )

    def revisions(self) -> dict[str, Sequence[str]]:
        """``{org/name: revisions}``; read only now, because only an error wants it."""
        revisions: dict[str, Sequence[str]] = {}
        for name, place in self.available.items():
            try:
                there = read_repository(place).revisions() if isinstance(place, Path) else place
            except OSError:
                there = ()
            revisions[name] = there or ("no whole revision",)
        return revisions

    def _hint(self, near: str | None) -> str:
        download = ["inference-server", "download", self.request.model_id]
        if self.request.revision:
            download += ["--revision", self.request.revision]
        if self.request.cache_roots:
            download += ["--cache-dir", str(self.request.cache_roots[0])]
        ways = [
            f"set HF_HUB_CACHE={self.elsewhere}" if self.elsewhere else "",
            f"set MODEL_ID={near}" if near else "",
            f"download it where there is internet: {shlex.join(download)}",
            "set HF_HUB_OFFLINE=0 to have it downloaded here.",
        ]
        hint = ". Or ".join(filter(None, ways))
        return hint[0].upper() + hint[1:]
