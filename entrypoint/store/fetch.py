"""Bringing the model that was found onto the disk: from the hub, a store, or out of its tarball."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.errors import IncompleteModel, ModelNotFound, RevisionNotFound, StorageError
from entrypoint.store.disk.cache import Snapshot
from entrypoint.store.disk.directory import open_unpacked
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import subfolders, why_unreadable
from entrypoint.store.disk.integrity import read_config
from entrypoint.store.disk.loadable import check_directory
from entrypoint.store.disk.weights import weight_bytes
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress
from entrypoint.store.search.artifact import request_in, target_of, variable_of
from entrypoint.store.search.find import find_model
from entrypoint.store.uri import is_uri, parse_uri, without_secret
from entrypoint.store.writing.complete_folder import make_folder
from entrypoint.store.writing.lock import lock_path, locked
from entrypoint.store.writing.room import NoRoom

if TYPE_CHECKING:
    from entrypoint.store.tarballs.packed import Packed

MORE_ROOM = "Set XDG_CACHE_HOME, or TMPDIR, to a folder with room that this user may write to."


def fetch_model(model: Model, request: Request, on_progress: OnProgress) -> Model:
    """Return the model that ``find_model`` found, after downloading or unpacking it if needed.

    Args:
        model: The model as found.
        request: The request.
        on_progress: Called with each change: in bytes of the archive for a tarball, in bytes of
            the files for the hub.

    Returns:
        The model with the path of its directory, checked.

    Raises:
        RefusedArtifact: The tarball is damaged or unsafe; no part of it stays on the disk.
        IncompleteModel: The result is incomplete.
        ModelNotFound: The tarball, the store or the hub does not have the model.
        RevisionNotFound: It has the model, but not the requested revision.
        HubError, StoreError: The hub or the object store did not answer, or refused.
        MachineError: No cache root is writable.
        StorageError: A read or a write failed, or there is not enough room.
    """
    if model.on_disk:
        return model
    if model.source == "object-store" or is_uri(request.model_id):
        return _fetch_artifact(model, request, on_progress)
    if model.packed is not None:
        _unpack_small_files(model, model.packed, on_progress)
        return replace(model, archive=None)
    if model.source == "hub":
        from entrypoint.store.hub.client import download_model

        snapshot = download_model(model, request, on_progress)
    else:
        snapshot = _unpack(model, request, on_progress)
    files = directory_files(snapshot.path)
    return replace(
        model,
        path=snapshot.path,
        repository=snapshot.repository,
        revision=snapshot.commit,
        bytes=snapshot.bytes,
        archive=None,
        config=read_config(files),
        weight_bytes=weight_bytes(files, request.loading.load_format),
    )


def pull_artifact(model: Model, request: Request, on_progress: OnProgress) -> Model:
    """Return the model in its tarball, after downloading that from its store if needed.

    Args:
        model: The model as found.
        request: The request.
        on_progress: Called with each change, in bytes of the object.

    Returns:
        The model, which may still have to be unpacked.

    Raises:
        InferenceServerError: The errors of :func:`~entrypoint.store.objects.pull.pull`, and those
            of a tarball that cannot be used.
    """
    if model.path is not None:
        return model
    by_uri = is_uri(request.model_id)
    text = request.model_id if by_uri else request.storage_uri or ""
    variable = variable_of(request) if by_uri else "STORAGE_URI"
    target = target_of(request.scratch, parse_uri(text))
    _pull_once(text, target, variable, request.environ, on_progress)
    return find_model(request)


def _fetch_artifact(model: Model, request: Request, on_progress: OnProgress) -> Model:
    """Return the model of a URI, after downloading and unpacking its tarball if needed."""
    model = pull_artifact(model, request, on_progress)
    if model.on_disk:
        return model
    assert model.archive is not None
    inside = request_in(request, model.archive)
    return replace(
        fetch_model(replace(model, source="tarball"), inside, on_progress), source=model.source
    )


def _pull_once(
    text: str, target: Path, variable: str, environ: Mapping[str, str], on_progress: OnProgress
) -> None:
    """Download an object to its file, unless another process has done so."""
    from entrypoint.store.objects.client import pull_in_child

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_path(target)):
            if not target.is_file():
                pull_in_child(text, target, variable, environ, on_progress)
    except OSError as error:
        raise StorageError(
            f"Downloading {without_secret(text)} to {target} failed: {why_unreadable(error)}.",
            variable="XDG_CACHE_HOME",
            hint=MORE_ROOM,
        ) from error


def _unpack(model: Model, request: Request, on_progress: OnProgress) -> Snapshot:
    """Unpack the model's tarball, unless another process has done so; return the model."""
    from entrypoint.store.tarballs.unpack import unpack

    assert model.archive is not None
    assert model.path is not None
    archive = model.archive
    _make_once(
        archive,
        model.path,
        model.bytes,
        lambda partial: unpack(archive, partial, request.model_id, on_progress),
    )
    try:
        snapshot = open_unpacked(model.path, request.model_id, request.revision, request.loading)
    except RevisionNotFound as error:
        error.add_search(model.searched, {})
        raise
    if snapshot is None:
        inner = subfolders(model.path)
        alone = len(inner) == 1 and len(os.listdir(model.path)) == 1
        with suppress(IncompleteModel):  # what it holds is no model at all
            check_directory(model.path / inner[0] if alone else model.path, request.loading)
        raise ModelNotFound(
            request.model_id,
            model.searched,
            message=f"The tarball {archive}, unpacked to {model.path}, does not hold the model "
            f"{request.model_id!r} (MODEL_ID).",
            variable="MODEL_TARBALL" if request.tarball else "MODEL_ID",
            hint="Pack the folder models--org--name of a cache, or the folder with config.json.",
        )
    return snapshot


def _unpack_small_files(model: Model, packed: Packed, on_progress: OnProgress) -> None:
    """Unpack the files that the engine does not load from the tarball, unless already done."""
    from entrypoint.store.tarballs.packed import unpack_small

    assert model.path is not None
    folder = model.path
    _make_once(
        packed.files.archive,
        folder.parent,
        packed.small_bytes,
        lambda partial: unpack_small(packed, partial, folder.name, on_progress),
    )


def _make_once(archive: Path, target: Path, needed: int, fill: Callable[[Path], None]) -> None:
    """Make the folder ``target`` from a tarball, unless another process has done so."""
    try:
        make_folder(target, fill, needed=needed)
    except OSError as error:
        size = f" It needs {needed:,} bytes." if needed and not isinstance(error, NoRoom) else ""
        raise StorageError(
            f"Unpacking {archive} to {target} failed: "
            f"{error.filename or target}: {why_unreadable(error)}.{size}",
            variable="XDG_CACHE_HOME",
            hint=MORE_ROOM,
        ) from error
