"""The inventory of a node: every model in its caches, directories and tarballs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from entrypoint.errors import RefusedArtifact, Source
from entrypoint.store.disk.cache import Repository, find_repositories, read_repository
from entrypoint.store.disk.directory import is_plain_model
from entrypoint.store.disk.files import ModelFiles, directory_files
from entrypoint.store.disk.folder import subfolders, why_unreadable
from entrypoint.store.disk.integrity import examine_model, is_weight
from entrypoint.store.progress import Progress
from entrypoint.store.tarballs.catalogue import Catalogue
from entrypoint.store.tarballs.contents import Contents
from entrypoint.store.tarballs.tarball import find_tarballs, stem

OnRead = Callable[[Path, Progress], None]
"""Called with a tarball and how much of it has been read."""
UNREAD = "compressed: run with --full to read all of it"
NO_SNAPSHOT = "has no snapshot"


@dataclass(frozen=True, slots=True)
class Item:
    """A model in one place, or a place that cannot be used.

    Attributes:
        model: The value of MODEL_ID for it; None if the place holds no model.
        revision: The commit; None if there is none or it is not known.
        refs: The branches and tags of the commit.
        bytes: Size of its files; None if it is not known.
        formats: Suffixes of its weight files, sorted.
        source: The kind of place.
        path: The directory or the tarball.
        problem: Why it cannot be served, or what is not known about it; None if it can be served.
    """

    model: str | None
    revision: str | None
    refs: tuple[str, ...]
    bytes: int | None
    formats: tuple[str, ...]
    source: Source
    path: Path
    problem: str | None

    def settings(self) -> dict[str, str]:
        """Return the variables that serve the model; empty if there is no model."""
        if self.model is None:
            return {}
        settings = {"MODEL_ID": self.model}
        if self.revision and "main" not in self.refs:
            settings["REVISION"] = self.revision
        if self.source == "tarball":
            settings["MODEL_TARBALL"] = str(self.path)
        return settings


def take_inventory(
    roots: Iterable[Path], tarball: Path | None, catalogue: Catalogue, full: bool, on_read: OnRead
) -> list[Item]:
    """Return the models in the given places, sorted by name, place and revision.

    Args:
        roots: Cache roots, which may also hold tarballs and plain models.
        tarball: Another tarball, or a directory of tarballs.
        catalogue: The known contents of tarballs.
        full: Whether to read compressed tarballs to their end.
        on_read: Called with each change.
    """
    roots = list(dict.fromkeys(roots))
    items = [item for root in roots for item in _in_cache(root)]
    archives: list[Path] = []
    if tarball is not None and not tarball.is_dir():
        archives = [tarball]
    else:
        for folder in dict.fromkeys((tarball, *roots) if tarball else roots):
            try:
                archives += find_tarballs(folder)
            except OSError as error:
                if folder == tarball:
                    items.append(_unusable(folder, "tarball", why_unreadable(error)))
    for archive in dict.fromkeys(archives):
        items += _in_tarball(archive, catalogue, full, on_read)
    return sorted(items, key=lambda item: (item.model or "", str(item.path), item.revision or ""))


def _in_cache(root: Path) -> Iterator[Item]:
    try:
        repositories = find_repositories(root)
        names = subfolders(root)
    except FileNotFoundError:
        return  # most roots are only places where a cache may exist
    except OSError as error:
        yield _unusable(root, "cache", why_unreadable(error))
        return
    for name, folder in repositories.items():
        try:
            repository = read_repository(folder)
        except OSError as error:
            yield _unchecked(name, None, "cache", folder, why_unreadable(error))
            continue
        if not repository.commits:
            yield _unchecked(name, None, "cache", folder, NO_SNAPSHOT)
        for commit in repository.commits:
            path = folder / "snapshots" / commit
            files = directory_files(path)
            yield _checked(files, name, commit, _refs(repository, commit), "cache", path)
    for path in (root, *(root / name for name in names)):
        if is_plain_model(path):
            yield _checked(directory_files(path), str(path), None, (), "directory", path)


def _in_tarball(archive: Path, catalogue: Catalogue, full: bool, on_read: OnRead) -> Iterator[Item]:
    try:
        contents = catalogue.look_up(
            archive, to_the_end=full, on_progress=partial(on_read, archive)
        )
        yield from _models_in(archive, contents)
    except RefusedArtifact as error:
        yield _unusable(archive, "tarball", error.problem)
    except OSError as error:
        yield _unusable(archive, "tarball", why_unreadable(error))


def _models_in(archive: Path, contents: Contents) -> Iterator[Item]:
    # a plain model does not contain its name, so the tarball's name is used
    plain = {stem(archive).replace("--", "/", 1): None} if contents.plain else {}
    models: Mapping[str, Repository | None] = {**plain, **contents.repositories}
    if not models:
        yield _unusable(archive, "tarball", "holds no model")
    for name, repository in models.items():
        commits: Sequence[str | None] = repository.commits if repository else (None,)
        if not contents.listed:
            yield _unchecked(name, None, "tarball", archive, UNREAD)
            continue
        if not commits:
            yield _unchecked(name, None, "tarball", archive, NO_SNAPSHOT)
        for commit in commits:
            refs = _refs(repository, commit) if repository and commit else ()
            if not contents.compressed:
                yield _in_plain_tarball(archive, name, commit, refs)
                continue
            key = name if repository else ""
            size, formats = contents.sizes.get(key), contents.formats.get(key, ())
            yield Item(name, commit, refs, size, formats, "tarball", archive, None)


def _in_plain_tarball(archive: Path, name: str, commit: str | None, refs: tuple[str, ...]) -> Item:
    """Return a model in an uncompressed tarball, checked there."""
    from entrypoint.store.tarballs.tree import model_folder, read_tree

    tree = read_tree(archive, name)
    folder = model_folder(tree, commit)
    if folder is None:
        return _unchecked(name, commit, "tarball", archive, "holds several models", refs)
    files = tree.files(folder)
    if any(entry.sparse for entry in files.entries.values()):
        # sparse files can only be read after unpacking
        size = sum(files.sizes.values())
        return Item(name, commit, refs, size, _formats(files), "tarball", archive, None)
    return _checked(files, name, commit, refs, "tarball", archive)


def _checked(
    files: ModelFiles,
    name: str,
    commit: str | None,
    refs: tuple[str, ...],
    source: Source,
    path: Path,
) -> Item:
    size, problems = examine_model(files)
    text = None
    if problems:
        file, problem = next(iter(problems.items()))
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        text = f"incomplete: {file} ({problem}){more}"
    return Item(name, commit, refs, size, _formats(files), source, path, text)


def _unchecked(
    name: str,
    commit: str | None,
    source: Source,
    path: Path,
    problem: str,
    refs: tuple[str, ...] = (),
) -> Item:
    return Item(name, commit, refs, None, (), source, path, problem)


def _unusable(path: Path, source: Source, problem: str) -> Item:
    return Item(None, None, (), None, (), source, path, problem)


def _formats(files: ModelFiles) -> tuple[str, ...]:
    weights = (name for name in files.sizes if "/" not in name and is_weight(name))
    return tuple(sorted({os.path.splitext(name)[1][1:] for name in weights}))


def _refs(repository: Repository, commit: str) -> tuple[str, ...]:
    return tuple(sorted(ref for ref, target in repository.refs.items() if target == commit))
