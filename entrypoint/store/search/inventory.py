"""The inventory of a node: every model in its caches, directories and tarballs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from entrypoint.errors import RefusedArtifact, Source, UnloadableModel
from entrypoint.store.disk.cache import Repository, find_repositories, read_repository
from entrypoint.store.disk.directory import is_plain_model
from entrypoint.store.disk.files import ModelFiles, directory_files
from entrypoint.store.disk.folder import subfolders, why_unreadable
from entrypoint.store.disk.integrity import is_weight
from entrypoint.store.disk.loadable import examine_loadable, loading_error
from entrypoint.store.disk.loading import Loading
from entrypoint.store.progress import Progress
from entrypoint.store.tarballs.catalogue import Catalogue
from entrypoint.store.tarballs.contents import Contents
from entrypoint.store.tarballs.tarball import find_tarballs, stem

OnRead = Callable[[Path, Progress], None]
"""Called with a tarball and how much of it has been read."""
UNREAD = "compressed: run with --full to read all of it"
NO_SNAPSHOT = "has no snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
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

    model: str | None = None
    revision: str | None = None
    refs: tuple[str, ...] = ()
    bytes: int | None = None
    formats: tuple[str, ...] = ()
    source: Source
    path: Path
    problem: str | None = None

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
                    problem = why_unreadable(error)
                    items.append(Item(source="tarball", path=folder, problem=problem))
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
        yield Item(source="cache", path=root, problem=why_unreadable(error))
        return
    for name, folder in repositories.items():
        try:
            repository = read_repository(folder)
        except OSError as error:
            problem = why_unreadable(error)
            yield Item(model=name, source="cache", path=folder, problem=problem)
            continue
        if not repository.commits:
            yield Item(model=name, source="cache", path=folder, problem=NO_SNAPSHOT)
        for commit in repository.commits:
            path = folder / "snapshots" / commit
            item = Item(
                model=name,
                revision=commit,
                refs=_refs(repository, commit),
                source="cache",
                path=path,
            )
            yield _checked(item, directory_files(path))
    for path in (root, *(root / name for name in names)):
        if is_plain_model(path):
            item = Item(model=str(path), source="directory", path=path)
            yield _checked(item, directory_files(path))


def _in_tarball(archive: Path, catalogue: Catalogue, full: bool, on_read: OnRead) -> Iterator[Item]:
    try:
        contents = catalogue.look_up(
            archive, to_the_end=full, on_progress=partial(on_read, archive)
        )
        yield from _models_in(archive, contents)
    except RefusedArtifact as error:
        yield Item(source="tarball", path=archive, problem=error.problem)
    except OSError as error:
        yield Item(source="tarball", path=archive, problem=why_unreadable(error))


def _models_in(archive: Path, contents: Contents) -> Iterator[Item]:
    # a plain model does not contain its name, so the tarball's name is used
    plain = {stem(archive).replace("--", "/", 1): None} if contents.plain else {}
    models: Mapping[str, Repository | None] = {**plain, **contents.repositories}
    if not models:
        yield Item(source="tarball", path=archive, problem="holds no model")
    for name, repository in models.items():
        item = Item(model=name, source="tarball", path=archive)
        commits: Sequence[str | None] = repository.commits if repository else (None,)
        if not contents.listed:
            yield replace(item, problem=UNREAD)
            continue
        if not commits:
            yield replace(item, problem=NO_SNAPSHOT)
        for commit in commits:
            refs = _refs(repository, commit) if repository and commit else ()
            item = replace(item, revision=commit, refs=refs)
            if contents.compressed:
                key = name if repository else ""
                size, formats = contents.sizes.get(key), contents.formats.get(key, ())
                yield replace(item, bytes=size, formats=formats)
            else:
                yield _in_plain_tarball(item, name)


def _in_plain_tarball(item: Item, name: str) -> Item:
    """Return a model in an uncompressed tarball, checked there."""
    from entrypoint.store.tarballs.tree import model_folder, read_tree

    tree = read_tree(item.path, name)
    folder = model_folder(tree, item.revision)
    if folder is None:
        return replace(item, problem="holds several models")
    files = tree.files(folder)
    if any(entry.sparse for entry in files.entries.values()):
        # sparse files can only be read after unpacking
        return replace(item, bytes=sum(files.sizes.values()), formats=_formats(files))
    return _checked(item, files)


def _checked(item: Item, files: ModelFiles) -> Item:
    """Return the item with the size, the formats and the problems of its files."""
    loading = Loading()
    size, problems = examine_loadable(files, loading)
    error = loading_error(files, loading, problems, None)
    text = None
    if isinstance(error, UnloadableModel):
        text = error.problem
    elif problems:
        file, problem = next(iter(problems.items()))
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        text = f"incomplete: {file} ({problem}){more}"
    return replace(item, bytes=size, formats=_formats(files), problem=text)


def _formats(files: ModelFiles) -> tuple[str, ...]:
    weights = (name for name in files.sizes if "/" not in name and is_weight(name))
    return tuple(sorted({os.path.splitext(name)[1][1:] for name in weights}))


def _refs(repository: Repository, commit: str) -> tuple[str, ...]:
    return tuple(sorted(ref for ref, target in repository.refs.items() if target == commit))
