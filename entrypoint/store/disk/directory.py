"""A model in a plain directory: the value of MODEL_ID, or unpacked into a cache root by KServe."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from entrypoint.errors import SeveralModels
from entrypoint.store.disk.cache import (
    PREFIX,
    Snapshot,
    find_repositories,
    open_snapshot,
)
from entrypoint.store.disk.folder import subfolders
from entrypoint.store.disk.loadable import check_directory
from entrypoint.store.disk.loading import Loading

PARTS = ("blobs", "refs", "snapshots")
"""The folders of a repository in a cache."""
CONFIG_FILES = ("config.json", "params.json")


def is_path(model_id: str) -> bool:
    """Return whether MODEL_ID is a directory: it is a path, or an existing directory's name."""
    return model_id.startswith(("/", "./", "../", "~")) or os.path.isdir(model_id)


def folder_names(model_id: str) -> tuple[str, ...]:
    """Return the usual names of a repository's folder or tarball: ``org--name`` and ``name``."""
    return tuple(dict.fromkeys((model_id.replace("/", "--"), model_id.rpartition("/")[2])))


def is_plain_model(folder: Path) -> bool:
    """Return whether a folder has a file that every model has."""
    return any(os.path.lexists(folder / mark) for mark in CONFIG_FILES)


def find_plain_model(root: Path, names: Iterable[str] | None) -> Path | None:
    """Return ``root`` if it is a model directory, else the only one among its subfolders.

    Args:
        root: The directory.
        names: The names of subfolders that count; None for all.

    Raises:
        OSError: ``root`` cannot be listed.
    """
    if is_plain_model(root):
        return root
    folders = [name for name in subfolders(root) if names is None or name in names]
    models = [root / name for name in folders if is_plain_model(root / name)]
    return models[0] if len(models) == 1 else None


def open_directory(path: Path, revision: str | None, loading: Loading) -> Snapshot:
    """Return the model in a directory, which is the model itself or has the cache's layout.

    Raises:
        SeveralModels: The directory is a cache with more than one model.
        RevisionNotFound: The model does not have the revision.
        UnreadableModel: This user may not read files of the model.
        IncompleteModel: Files of the model are missing, empty, dangling or truncated.
        UnloadableModel: vLLM has no loader for what the directory holds.
        OSError: The directory cannot be read.
    """
    if path.name in PARTS and path.parent.name.startswith(PREFIX):
        path = path.parent
    if path.name.startswith(PREFIX) and (path / "snapshots").is_dir():
        return open_snapshot(path, revision, loading)
    repositories = {} if is_plain_model(path) else find_repositories(path)
    if len(repositories) > 1:
        raise SeveralModels(path, sorted(repositories))
    for folder in repositories.values():
        return open_snapshot(folder, revision, loading)
    return Snapshot(path, None, None, check_directory(path, loading))


def open_unpacked(
    root: Path, model_id: str, revision: str | None, loading: Loading
) -> Snapshot | None:
    """Return the requested model in an unpacked tarball; None if the tarball has another.

    Raises:
        RevisionNotFound: The model does not have the revision.
        UnreadableModel: This user may not read files of the model.
        IncompleteModel: Files of the model are missing, empty, dangling or truncated.
        UnloadableModel: vLLM has no loader for what the directory holds.
        OSError: The directory cannot be read.
    """
    repositories = find_repositories(root)
    if model_id in repositories:
        return open_snapshot(repositories[model_id], revision, loading)
    plain = None if repositories else find_plain_model(root, None)
    return Snapshot(plain, None, None, check_directory(plain, loading)) if plain else None
