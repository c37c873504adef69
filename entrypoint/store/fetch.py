"""Fetching the model that was found: from the hub, a store, or out of its tarball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.errors import ModelNotFound, RevisionNotFound, StorageError
from entrypoint.store.disk.directory import open_unpacked
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.integrity import read_config
from entrypoint.store.disk.weights import weight_bytes
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress
from entrypoint.store.search.artifact import fetch_artifact, is_uri
from entrypoint.store.writing.complete_folder import make_folder
from entrypoint.store.writing.room import NoRoom

if TYPE_CHECKING:
    from entrypoint.store.tarballs.packed import Packed


def fetch_model(model: Model, request: Request, on_progress: OnProgress) -> Model:
    """Bring the model that ``find_model`` found onto the disk, if it is not there.

    Args:
        model: What was found.
        request: What was asked for.
        on_progress: Called with each change: of the archive's bytes for a tarball, of the files'
            for the hub.

    Returns:
        The model with the path of its directory, checked.

    Raises:
        RefusedArtifact: The tarball is damaged or unsafe; nothing of it is left behind.
        IncompleteModel: What came of it is not whole.
        ModelNotFound: The tarball or the hub does not have the model.
        RevisionNotFound: It has it, without the wanted revision.
        HubError, StoreError: The hub or the object store did not answer or refused.
        MachineError: No cache root can be written to.
        StorageError: A read or a write failed, or there is not enough room.
    """
    if model.on_disk:
        return model
    if model.source == "object-store" or is_uri(request.model_id):
        return fetch_artifact(model, request, on_progress)
    if model.packed is not None:
        assert model.path is not None
        _lay_out_once(model, model.packed, model.path, on_progress)
        return replace(model, archive=None)
    if model.source == "hub":
        from entrypoint.store.hub.client import download_model

        snapshot = download_model(model, request, on_progress)
    else:
        assert model.archive is not None
        assert model.path is not None
        _unpack_once(model, model.archive, model.path, request, on_progress)
        try:
            found = open_unpacked(model.path, request.model_id, request.revision)
        except RevisionNotFound as error:
            error.add_search(model.searched, {})
            raise
        if found is None:
            raise ModelNotFound(
                request.model_id,
                model.searched,
                message=f"The tarball {model.archive} was unpacked to {model.path} and holds no "
                f"model {request.model_id!r} (MODEL_ID).",
                variable="MODEL_TARBALL" if request.tarball else "MODEL_ID",
                hint="Pack the folder models--org--name of the cache, or the folder that has "
                "config.json in it.",
            )
        snapshot = found
    files = directory_files(snapshot.path)
    return replace(
        model,
        path=snapshot.path,
        repository=snapshot.repository,
        revision=snapshot.commit,
        bytes=snapshot.bytes,
        archive=None,
        config=read_config(files),
        weight_bytes=weight_bytes(files),
    )


def _unpack_once(
    model: Model, archive: Path, target: Path, request: Request, on_progress: OnProgress
) -> None:
    """Unpack ``archive`` to ``target``, unless another process has done so meanwhile."""
    from entrypoint.store.tarballs.unpack import unpack

    def fill(partial: Path) -> None:
        unpack(archive, partial, request.model_id, on_progress)

    _make_once(archive, target, model.bytes, fill)


def _lay_out_once(model: Model, packed: Packed, path: Path, on_progress: OnProgress) -> None:
    """Unpack what is not read in the tarball, unless another process has done so meanwhile."""
    from entrypoint.store.tarballs.packed import unpack_small

    def fill(partial: Path) -> None:
        unpack_small(packed, partial, path.name, on_progress)

    _make_once(packed.files.archive, path.parent, packed.small_bytes, fill)


def _make_once(archive: Path, target: Path, needed: int, fill: Callable[[Path], None]) -> None:
    """Make the folder ``target`` from a tarball, with errors that say what to do."""
    try:
        make_folder(target, fill, needed=needed)
    except OSError as error:
        raise _unpacking_failed(error, archive, target, needed) from error


def _unpacking_failed(error: OSError, archive: Path, target: Path, needed: int) -> StorageError:
    size = f" It needs {needed:,} bytes." if needed and not isinstance(error, NoRoom) else ""
    return StorageError(
        f"Unpacking {archive} to {target} failed: "
        f"{error.filename or target}: {why_unreadable(error)}.{size}",
        variable="XDG_CACHE_HOME",
        hint="Set XDG_CACHE_HOME, or TMPDIR, to a folder with room that this user may write to.",
    )
