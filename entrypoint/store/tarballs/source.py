"""What is packed: one revision of a model, in a cache or in a plain directory."""

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
from entrypoint.store.disk.digest import naming
from entrypoint.store.disk.directory import is_path, is_plain_model
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.integrity import check_model


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the model.

    Attributes:
        name: Relative to the snapshot, with ``/``.
        path: Where its content is.
        size: Bytes.
        blob: The hash that its content is called by in the cache, None where it is not.
    """

    name: str
    path: Path
    size: int
    blob: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """A model to be packed.

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
        """Size of its files."""
        return sum(file.size for file in self.files)


def find_source(
    named: str,
    roots: Sequence[Path] = (),
    *,
    repository: str | None = None,
    revision: str | None = None,
) -> Source:
    """Find what is to be packed, and check that it is whole.

    Args:
        named: A cache root, a ``models--org--name`` folder, a snapshot in one, a plain directory,
            or the repository id of what is in the ``roots``.
        roots: Cache roots.
        repository: ``org/name``: which one of a cache root's, or how to call a plain directory.
        revision: Branch, tag, full or unique short commit.

    Raises:
        UsageError: It cannot be told which model is meant, or what to call it.
        ModelNotFound: It is not there.
        RevisionNotFound: It is there, without the revision.
        IncompleteModel: Files of it are missing, empty, dangling or cut short.
        UnreadableModel: Files of it may not be read by this user.
        OSError: A folder cannot be read.
    """
    path = Path(os.path.expanduser(named)).absolute()
    if not is_path(named):
        return _in_caches(named, roots, repository, revision)
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
        message=f"The model {model_id!r} is in no cache, and is no directory.",
        variable=None,
        hint=f"Download it first: inference-server download {model_id}. Or name its directory, or "
        "set HF_HUB_CACHE to the cache that has it.",
    )


def _no_directory(path: Path) -> UsageError | ModelNotFound:
    if path.exists():
        return UsageError(
            f"{path} is a file.",
            hint="Name the cache, the snapshot or the directory that holds the model.",
        )
    return ModelNotFound(
        str(path), (), {}, None, message=f"{path} does not exist.", variable=None,
        hint="Name the cache, the snapshot or the directory that holds the model.",
    )  # fmt: skip


def _choose(root: Path, repositories: dict[str, Path], repository: str | None) -> Path:
    if repository in repositories:
        return repositories[repository]
    if repository is None and len(repositories) == 1:
        return next(iter(repositories.values()))
    there = ", ".join(sorted(repositories))
    if repository is None:
        raise UsageError(
            f"{root} holds {len(repositories)} models: {there}.",
            hint=f"Choose one, as: --repository {min(repositories)}",
        )
    raise ModelNotFound(
        repository, (), {}, nearest(repository, repositories),
        message=f"{root} does not hold {repository!r} (--repository). It holds: {there}.",
        variable=None, hint=f"Choose one of these, as: --repository {min(repositories)}",
    )  # fmt: skip


def _of_snapshot(folder: Path, commit: str, repository: str | None, revision: str | None) -> Source:
    if revision is not None:
        source = _of_repository(folder, repository, revision)
        if source.commit != commit:
            raise UsageError(
                f"{folder / 'snapshots' / commit} is not the revision {revision!r} (--revision), "
                f"which is {source.commit}.",
                hint=f"Leave out --revision, or pack {folder} instead.",
            )
        return source
    return _of_repository(folder, repository, commit)


def _of_repository(folder: Path, repository: str | None, revision: str | None) -> Source:
    name = repository_name(folder.name)
    if repository not in (None, name):
        raise UsageError(
            f"{folder} holds {name!r}, not {repository!r} (--repository).",
            hint="Leave out --repository: a cache says what its models are called.",
        )
    snapshot = open_snapshot(folder, revision, setting="--revision")
    refs = read_repository(folder).refs
    named = sorted(ref for ref, commit in refs.items() if commit == snapshot.commit)
    files = _files(snapshot.path, Path(os.path.realpath(folder / "blobs")))
    return Source(snapshot.path, name, snapshot.commit, tuple(named), files)


def _of_directory(path: Path, repository: str | None, revision: str | None) -> Source:
    check_model(path)
    if repository is None:
        raise UsageError(
            f"{path} is a plain directory, which does not say what its model is called.",
            hint="Name it, as: --repository org/name",
        )
    if revision is not None:
        raise UsageError(
            f"{path} is a plain directory, which has no revision {revision!r} (--revision).",
            hint="Leave out --revision: the commit is derived from the files' content.",
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
                hint="Rename it, or take it out of the directory.",
            ) from None
        path = Path(os.path.realpath(directory / name))
        blob = path.name if path.parent == blobs and naming(path.name) else None
        found.append(SourceFile(name, path, size, blob))
    return tuple(found)
