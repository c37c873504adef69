"""Finding the model to pack: one revision, in a cache or in a plain directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import ArtifactError, ModelNotFound, SearchedPlace, UsageError
from entrypoint.spelling import nearest
from entrypoint.store.disk.cache import (
    PREFIX,
    find_repositories,
    open_snapshot,
    read_repository,
    repository_name,
)
from entrypoint.store.disk.digest import hash_type
from entrypoint.store.disk.directory import is_path, is_plain_model
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.integrity import check_model


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the model.

    Attributes:
        name: Relative to the snapshot, with ``/``.
        path: The file with its content.
        size: Bytes.
        blob: The hash that names its content in the cache, None outside a cache.
    """

    name: str
    path: Path
    size: int
    blob: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """A model to pack.

    Attributes:
        place: Its snapshot or directory.
        repository: ``org/name``.
        commit: None for a plain directory.
        refs: The branches and tags that name the commit, sorted.
        files: Sorted by name.
    """

    place: Path
    repository: str
    commit: str | None
    refs: tuple[str, ...]
    files: tuple[SourceFile, ...]

    @property
    def bytes(self) -> int:
        """The size of its files."""
        return sum(file.size for file in self.files)


def find_source(
    name: str,
    roots: Sequence[Path] = (),
    *,
    repository: str | None = None,
    revision: str | None = None,
) -> Source:
    """Return the model to pack, checked to be complete.

    Args:
        name: A cache root, a ``models--org--name`` folder, a snapshot in one, a plain directory,
            or the repository id of a model in the ``roots``.
        roots: Cache roots.
        repository: ``org/name``: chooses a model of a cache root, or names a plain directory.
        revision: Branch, tag, full or unique short commit.

    Raises:
        UsageError: Several models match, or the model has no name.
        ModelNotFound: The model does not exist.
        RevisionNotFound: The model exists without the revision.
        IncompleteModel: Files are missing, empty, dangling or truncated.
        UnreadableModel: This user may not read some files.
        OSError: A folder cannot be read.
    """
    path = Path(os.path.expanduser(name)).absolute()
    if not is_path(name):
        return _in_caches(name, roots, repository, revision)
    if not path.is_dir():
        raise _no_directory(path)
    if path.name.startswith(PREFIX) and (path / "snapshots").is_dir():
        return _of_repository(path, repository, revision)
    folder = path.parent.parent
    if path.parent.name == "snapshots" and folder.name.startswith(PREFIX):
        return _of_snapshot(folder, path.name, repository, revision)
    repositories = {} if is_plain_model(path) else find_repositories(path)
    if not repositories:
        return _of_directory(path, repository, revision)
    return _of_repository(_choose(path, repositories, repository), repository, revision)


def _in_caches(
    model_id: str, roots: Sequence[Path], repository: str | None, revision: str | None
) -> Source:
    attempts: list[SearchedPlace] = []
    available: dict[str, Sequence[str]] = {}
    for root in roots:
        try:
            repositories = find_repositories(root)
        except OSError as error:
            attempts.append(SearchedPlace("cache", str(root), why_unreadable(error)))
            continue
        if model_id in repositories:
            return _of_repository(repositories[model_id], repository, revision)
        attempts.append(
            SearchedPlace("cache", str(root), f"holds {len(repositories)} other models")
        )
        available |= {name: read_repository(at).revisions() for name, at in repositories.items()}
    raise ModelNotFound(
        model_id,
        attempts,
        available,
        nearest(model_id, available),
        message=f"The model {model_id!r} is neither in a cache nor a directory.",
        variable=None,
        hint=f"Download it first: inference-server download {model_id}. Or give the path of its "
        "directory, or set HF_HUB_CACHE to the cache that holds it.",
    )


def _no_directory(path: Path) -> UsageError | ModelNotFound:
    if path.exists():
        return UsageError(
            f"{path} is a file.",
            hint="Give the path of the cache, the snapshot or the directory that holds the model.",
        )
    return ModelNotFound(
        str(path), (), {}, None, message=f"{path} does not exist.", variable=None,
        hint="Give the path of the cache, the snapshot or the directory that holds the model.",
    )  # fmt: skip


def _choose(root: Path, repositories: dict[str, Path], repository: str | None) -> Path:
    if repository in repositories:
        return repositories[repository]
    if repository is None and len(repositories) == 1:
        return next(iter(repositories.values()))
    listed = ", ".join(sorted(repositories))
    if repository is None:
        raise UsageError(
            f"{root} holds {len(repositories)} models: {listed}.",
            hint=f"Choose one, for example: --repository {min(repositories)}",
        )
    raise ModelNotFound(
        repository, (), {}, nearest(repository, repositories),
        message=f"{root} does not hold {repository!r} (--repository). It holds: {listed}.",
        variable=None, hint=f"Choose one of these, for example: --repository {min(repositories)}",
    )  # fmt: skip


def _of_snapshot(folder: Path, commit: str, repository: str | None, revision: str | None) -> Source:
    if revision is not None:
        source = _of_repository(folder, repository, revision)
        if source.commit != commit:
            raise UsageError(
                f"{folder / 'snapshots' / commit} is not the revision {revision!r} (--revision), "
                f"which is {source.commit}.",
                hint=f"Omit --revision, or pack {folder} instead.",
            )
        return source
    return _of_repository(folder, repository, commit)


def _of_repository(folder: Path, repository: str | None, revision: str | None) -> Source:
    name = repository_name(folder.name)
    if repository not in (None, name):
        raise UsageError(
            f"{folder} holds {name!r}, not {repository!r} (--repository).",
            hint="Omit --repository: the cache names its models.",
        )
    snapshot = open_snapshot(folder, revision, None, setting="--revision")
    refs = read_repository(folder).refs
    named = sorted(ref for ref, commit in refs.items() if commit == snapshot.commit)
    files = _files(snapshot.path, Path(os.path.realpath(folder / "blobs")))
    return Source(snapshot.path, name, snapshot.commit, tuple(named), files)


def _of_directory(path: Path, repository: str | None, revision: str | None) -> Source:
    check_model(path)
    if repository is None:
        raise UsageError(
            f"{path} is a plain directory, so its model has no name.",
            hint="Name the model: --repository org/name",
        )
    if revision is not None:
        raise UsageError(
            f"{path} is a plain directory, which has no revision {revision!r} (--revision).",
            hint="Omit --revision: the commit is derived from the content of the files.",
        )
    return Source(path, repository, None, ("main",), _files(path, None))


def _files(directory: Path, blobs: Path | None) -> tuple[SourceFile, ...]:
    found = []
    for name, size in sorted(directory_files(directory).sizes.items()):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ArtifactError(
                f"The file {name!r} in {directory} has a name that is not UTF-8.",
                hint="Rename it, or remove it from the directory.",
            ) from None
        path = Path(os.path.realpath(directory / name))
        blob = path.name if path.parent == blobs and hash_type(path.name) else None
        found.append(SourceFile(name, path, size, blob))
    return tuple(found)
