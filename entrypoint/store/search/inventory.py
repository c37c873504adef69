"""The inventory of a node: every model that its caches, directories and tarballs hold."""

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
from entrypoint.store.disk.folder import permission_denied, subfolders, why_unreadable
from entrypoint.store.disk.integrity import examine_model, is_weight
from entrypoint.store.progress import Progress
from entrypoint.store.tarballs.catalogue import Catalogue
from entrypoint.store.tarballs.contents import Contents
from entrypoint.store.tarballs.tarball import find_tarballs, stem

OnRead = Callable[[Path, Progress], None]
UNREAD = "compressed: more is known with --full"


@dataclass(frozen=True, slots=True)
class Item:
    """A model in one place, or a place that cannot be used.

    Attributes:
        model: What MODEL_ID names it by; None where the place holds none.
        revision: The commit, None where there is none or it is not known.
        refs: The branches and tags that name the commit.
        bytes: Size of its files, None where it is not known.
        formats: Suffixes of its weight files, sorted.
        source: The way that finds it.
        path: The directory or the tarball.
        problem: Why it cannot be served, or what is not known of it; None where all is well.
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
        """The variables that serve it; empty for what is no model."""
        if self.model is None:
            return {}
        settings = {"MODEL_ID": self.model}
        if self.revision and "main" not in self.refs:
            settings["REVISION"] = self.revision
        if self.source == "tarball":
            settings["MODEL_TARBALL"] = str(self.path)
        return settings


def take_inventory(
    roots: Iterable[Path], tarball: Path | None, catalogue: Catalogue, whole: bool, on_read: OnRead
) -> list[Item]:
    """List the models that the places hold, sorted by name, place and revision.

    Args:
        roots: Cache roots, which may hold tarballs and plain models too.
        tarball: A tarball, or a directory of them, that is looked into as well.
        catalogue: What is known of tarballs.
        whole: Whether compressed tarballs are read to their end.
        on_read: Called with a tarball, and how far it has been read.
    """
    roots = list(dict.fromkeys(roots))
    items: list[Item] = []
    archives: list[Path] = []
    for root in roots:
        items += _in_root(root)
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
        items += _in_tarball(archive, catalogue, whole, on_read)
    return sorted(items, key=lambda item: (item.model or "", str(item.path), item.revision or ""))


def _in_root(root: Path) -> Iterator[Item]:
    try:
        repositories = find_repositories(root)
        names = subfolders(root)
    except FileNotFoundError:
        return  # of the roots, most are only places where a cache may be
    except OSError as error:
        yield _unusable(root, "cache", why_unreadable(error))
        return
    for name, folder in repositories.items():
        try:
            repository = read_repository(folder)
        except OSError as error:
            yield Item(name, None, (), None, (), "cache", folder, why_unreadable(error))
            continue
        if not repository.commits:
            yield Item(name, None, (), None, (), "cache", folder, "has no snapshot")
        for commit in repository.commits:
            path = folder / "snapshots" / commit
            files = directory_files(path)
            yield _item(files, name, commit, _refs(repository, commit), "cache", path)
    for path in (root, *(root / name for name in names)):
        if is_plain_model(path):
            yield _item(directory_files(path), str(path), None, (), "directory", path)


def _in_tarball(
    archive: Path, catalogue: Catalogue, whole: bool, on_read: OnRead
) -> Iterator[Item]:
    try:
        contents = catalogue.look_up(
            archive, to_the_end=whole, on_progress=partial(on_read, archive)
        )
        yield from _packed(archive, contents)
    except RefusedArtifact as error:
        yield _unusable(archive, "tarball", error.problem)
    except PermissionError:
        yield _unusable(archive, "tarball", permission_denied().text)
    except OSError as error:
        yield _unusable(archive, "tarball", why_unreadable(error))


def _packed(archive: Path, contents: Contents) -> Iterator[Item]:
    # a plain model does not say what it is called: the tarball's name does
    plain = {stem(archive).replace("--", "/", 1): None} if contents.plain else {}
    models: Mapping[str, Repository | None] = {**plain, **contents.repositories}
    if not models:
        yield _unusable(archive, "tarball", "holds no model")
    for name, repository in models.items():
        commits: Sequence[str | None] = repository.commits if repository else (None,)
        if not contents.listed:
            yield Item(name, None, (), None, (), "tarball", archive, UNREAD)
        elif not commits:
            yield Item(name, None, (), None, (), "tarball", archive, "has no snapshot")
        for commit in commits:
            refs = _refs(repository, commit) if repository and commit else ()
            if contents.compressed:
                key = name if repository else ""
                formats = contents.formats.get(key, ())
                if contents.listed:
                    size = contents.sizes.get(key)
                    yield Item(name, commit, refs, size, formats, "tarball", archive, None)
                continue
            yield _inside(archive, name, commit, refs)


def _inside(archive: Path, name: str, commit: str | None, refs: tuple[str, ...]) -> Item:
    """A model in an uncompressed tarball, checked where it lies."""
    from entrypoint.store.tarballs.tree import model_folder, read_tree

    tree = read_tree(archive, name)
    folder = model_folder(tree, commit)
    if folder is None:
        return Item(name, commit, refs, None, (), "tarball", archive, "holds several models")
    files = tree.files(folder)
    if any(entry.sparse for entry in files.entries.values()):
        # what has holes can only be read after unpacking
        return Item(
            name, commit, refs, sum(files.sizes.values()), _formats(files), "tarball", archive, None
        )
    return _item(files, name, commit, refs, "tarball", archive)


def _item(
    files: ModelFiles,
    name: str,
    commit: str | None,
    refs: tuple[str, ...],
    source: Source,
    path: Path,
) -> Item:
    size, problems = examine_model(files)
    problem = None
    if problems:
        first, what = next(iter(problems.items()))
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        problem = f"not whole: {first} ({what}){more}"
    return Item(name, commit, refs, size, _formats(files), source, path, problem)


def _formats(files: ModelFiles) -> tuple[str, ...]:
    weights = (name for name in files.sizes if "/" not in name and is_weight(name))
    return tuple(sorted({os.path.splitext(name)[1][1:] for name in weights}))


def _refs(repository: Repository, commit: str) -> tuple[str, ...]:
    return tuple(sorted(ref for ref, named in repository.refs.items() if named == commit))


def _unusable(path: Path, source: Source, problem: str) -> Item:
    return Item(None, None, (), None, (), source, path, problem)
