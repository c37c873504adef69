"""The Hugging Face cache: repositories, their refs and snapshots, and the choice of a revision.

The layout, below a cache root or below one folder in it::

    models--org--name/refs/main                     the commit that the branch names
    models--org--name/snapshots/<commit>/config.json -> ../../blobs/<hash>
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import subfolders, why_unreadable
from entrypoint.store.disk.integrity import examine_model, model_error

PREFIX = "models--"
SHORT_COMMIT = re.compile(r"[0-9a-f]{4,40}")
# A ref holds one commit; more than this is something else.
MAX_REF_BYTES = 256
PARTIAL = ".resume.incomplete"
"""What a blob's name ends with while it is downloaded; the hub's own tools know ``.incomplete``."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model directory that was found whole.

    Attributes:
        path: The directory.
        repository: ``org/name``, None for a directory outside of a cache.
        commit: None for a directory outside of a cache.
        bytes: Size of its files.
    """

    path: Path
    repository: str | None
    commit: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Repository:
    """What the cache has of one repository.

    Attributes:
        name: ``org/name``.
        place: Where it is, for messages: the folder, or the tarball that holds it.
        commits: The snapshots that are there.
        refs: ``{branch, tag or commit: commit}``.
        unfinished: Whether a download of it did not finish, or still runs.
    """

    name: str
    place: Path
    commits: tuple[str, ...]
    refs: Mapping[str, str]
    unfinished: bool = False

    def revisions(self) -> tuple[str, ...]:
        """What REVISION may be set to: refs whose snapshot is there, then commits."""
        refs = (ref for ref, commit in self.refs.items() if commit in self.commits)
        return tuple(dict.fromkeys((*refs, *self.commits)))


@dataclass(frozen=True, slots=True)
class RevisionProblem:
    """Why no snapshot could be chosen, and what mends it."""

    message: str
    hint: str
    variable: str = "REVISION"


def repository_name(folder: str) -> str:
    """``org/name`` of a folder called ``models--org--name``."""
    return folder.removeprefix(PREFIX).replace("--", "/", 1)


def find_repositories(root: Path) -> dict[str, Path]:
    """``{org/name: folder}`` of the repositories in ``root`` and in the folders right below it.

    One level below, because a tarball made of a cache folder unpacks to that.

    Raises:
        OSError: ``root`` cannot be listed.
    """
    found: dict[str, Path] = {}
    others = []
    for name in subfolders(root):
        if name.startswith(PREFIX):
            found[repository_name(name)] = root / name
        elif not name.startswith("."):  # .locks holds folders of the same names
            others.append(root / name)
    for folder in others:
        try:
            names = subfolders(folder)
        except OSError:
            continue  # not ours to read, and not the place that was named
        for name in names:
            if name.startswith(PREFIX):
                found.setdefault(repository_name(name), folder / name)
    return found


def read_repository(folder: Path) -> Repository:
    """Read which snapshots and refs a ``models--org--name`` folder has.

    Raises:
        OSError: The folder cannot be read.
    """
    refs = {}
    for place, folders, files in os.walk(folder / "refs"):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file)
            with path.open(encoding="utf-8", errors="replace") as content:
                name = path.relative_to(folder / "refs").as_posix()
                refs[name] = content.read(MAX_REF_BYTES).strip()
    try:
        commits = tuple(subfolders(folder / "snapshots"))
    except FileNotFoundError:
        commits = ()
    unfinished = not commits and any((folder / "blobs").glob("*.incomplete"))
    return Repository(repository_name(folder.name), folder, commits, refs, unfinished)


def choose_commit(repository: Repository, revision: str | None) -> str | RevisionProblem:
    """The snapshot that a revision means.

    Args:
        repository: What is there.
        revision: Branch, tag, full or unique short commit. None for what ``refs/main`` says, else
            the only snapshot.
    """
    if revision is None:
        return _default_commit(repository)
    if revision in repository.commits:
        return revision
    # The hub's client keeps refs/pr/1 as refs/refs/pr/1, other tools keep it once.
    for ref in (revision, revision.removeprefix("refs/"), f"refs/{revision}"):
        if ref in repository.refs:
            return _named_commit(repository, ref)
    short = revision.lower()
    if SHORT_COMMIT.fullmatch(short):
        candidates = [commit for commit in repository.commits if commit.startswith(short)]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            return RevisionProblem(
                f"REVISION is {revision!r}, which {len(candidates)} commits of {repository.name} "
                f"at {repository.place} begin with: {', '.join(candidates)}.",
                "Set REVISION to one of these in full.",
            )
    return RevisionProblem(
        f"REVISION is {revision!r}, which {repository.name} at {repository.place} does not have: "
        f"{_what_is_there(repository)}.",
        _hint(repository, revision),
    )


def _default_commit(repository: Repository) -> str | RevisionProblem:
    if "main" in repository.refs:
        return _named_commit(repository, "main")
    if len(repository.commits) == 1:
        return repository.commits[0]
    return RevisionProblem(
        f"REVISION is not set, and {repository.name} at {repository.place} has no refs/main to "
        f"choose by: {_what_is_there(repository)}.",
        _hint(repository, None),
    )


def _named_commit(repository: Repository, ref: str) -> str | RevisionProblem:
    commit = repository.refs[ref]
    if commit in repository.commits:
        return commit
    says = f"names the commit {commit!r}, whose snapshot is missing" if commit else "is empty"
    return RevisionProblem(
        f"refs/{ref} of {repository.name} at {repository.place} {says}: "
        f"{_what_is_there(repository)}.",
        _hint(repository, None if ref == "main" else ref),
    )


def _what_is_there(repository: Repository) -> str:
    if revisions := repository.revisions():
        return f"it has {', '.join(revisions)}"
    unfinished = ", a download of it did not finish" if repository.unfinished else ""
    return f"it has no snapshot at all{unfinished}"


def _hint(repository: Repository, revision: str | None) -> str:
    download = f"inference-server download {repository.name}"
    if revision:
        download += f" --revision {revision}"
    if not repository.revisions():
        return f"Fetch the model again where there is internet: {download}"
    if revision == "1":
        return (
            'Leave REVISION empty, or set it to one of these. "1" was only the default value of '
            "the parameter in older ServingTemplates: take it out there."
        )
    fetch = f", or fetch it where there is internet: {download}" if revision else ""
    return f"Set REVISION to one of these{fetch}."


def open_snapshot(folder: Path, revision: str | None) -> Snapshot | RevisionProblem:
    """Choose a snapshot of a ``models--org--name`` folder and check that it is whole.

    Raises:
        UnreadableModel: Files of the snapshot may not be read by this user.
        IncompleteModel: Files of the snapshot are missing, empty, dangling or cut short.
        OSError: The folder cannot be read.
    """
    repository = read_repository(folder)
    commit = choose_commit(repository, revision)
    if isinstance(commit, RevisionProblem):
        return commit
    path = folder / "snapshots" / commit
    size, problems = examine_model(directory_files(path))
    if len(repository.commits) == 1:
        # With more snapshots it cannot be told whose download it was.
        problems |= _unfinished_downloads(folder)
    if problems:
        raise model_error(
            path,
            problems,
            "Fetch it again where there is internet: "
            f"hf download {repository.name} --revision {commit} --cache-dir {folder.parent} "
            "--force-download",
        )
    return Snapshot(path, repository.name, commit, size)


def _unfinished_downloads(folder: Path) -> dict[str, str]:
    """Blobs whose download did not end; one that a later download completed is only litter.

    Not those of our own downloads: they make the snapshot when all of it is there.
    """
    try:
        blobs = set(os.listdir(folder / "blobs"))
    except FileNotFoundError:
        return {}  # snapshots may hold plain files
    except OSError as error:
        return {"blobs": why_unreadable(error)}
    return {
        f"blobs/{blob}": "a download that did not finish, or still runs"
        for blob in sorted(blobs)
        if blob.endswith(".incomplete")
        and not blob.endswith(PARTIAL)
        and blob.split(".")[0] not in blobs
    }
