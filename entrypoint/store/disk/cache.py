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

from entrypoint.errors import Problem, ProblemKind, RevisionNotFound
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import access_problem, subfolders
from entrypoint.store.disk.integrity import Problems, examine_model, model_error

PREFIX = "models--"
SHORT_COMMIT = re.compile(r"[0-9a-f]{4,40}")
# A ref holds one commit; more than this is something else.
MAX_REF_BYTES = 256
PARTIAL = ".resume.incomplete"
"""The suffix of a blob during its download; the hub's own tools use ``.incomplete``."""
UNFINISHED = Problem(ProblemKind.INCOMPLETE, "a download that is incomplete or still running")


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


def choose_commit(
    repository: Repository, revision: str | None, *, setting: str = "REVISION"
) -> str:
    """Return the commit of the snapshot that a revision refers to.

    Args:
        repository: The repository.
        revision: Branch, tag, full or unique short commit. None for the commit of ``refs/main``;
            without that ref, for the only snapshot.
        setting: The variable or option that holds the revision, for the error.

    Raises:
        RevisionNotFound: No snapshot matches, or more than one.
    """
    if revision is None:
        return _default_commit(repository, setting)
    if revision in repository.commits:
        return revision
    # The hub's client keeps refs/pr/1 as refs/refs/pr/1; other tools keep it as refs/pr/1.
    for ref in (revision, revision.removeprefix("refs/"), f"refs/{revision}"):
        if ref in repository.refs:
            return _commit_of_ref(repository, ref, setting)
    short = revision.lower()
    candidates = [commit for commit in repository.commits if commit.startswith(short)]
    if SHORT_COMMIT.fullmatch(short) and candidates:
        if len(candidates) == 1:
            return candidates[0]
        raise _not_found(
            repository,
            ProblemKind.AMBIGUOUS,
            f"{setting} is {revision!r}, which matches {len(candidates)} commits of "
            f"{repository.name} at {repository.place}: {', '.join(candidates)}.",
            setting,
            f"Set {setting} to one of these in full.",
        )
    raise _not_found(
        repository,
        ProblemKind.MISSING,
        f"{setting} is {revision!r}, which {repository.name} at {repository.place} does not have: "
        f"{_existing_revisions(repository)}.",
        setting,
        _hint(repository, revision, setting),
    )


def default_commit(repository: Repository) -> str | None:
    """Return the commit that is loaded if no revision is set; None if one must be set."""
    try:
        return choose_commit(repository, None)
    except RevisionNotFound:
        return None


def _default_commit(repository: Repository, setting: str) -> str:
    if "main" in repository.refs:
        return _commit_of_ref(repository, "main", setting)
    if len(repository.commits) == 1:
        return repository.commits[0]
    raise _not_found(
        repository,
        ProblemKind.AMBIGUOUS if repository.commits else ProblemKind.MISSING,
        f"{setting} is not set, and {repository.name} at {repository.place} has no refs/main: "
        f"{_existing_revisions(repository)}.",
        setting,
        _hint(repository, None, setting),
    )


def _commit_of_ref(repository: Repository, ref: str, setting: str) -> str:
    commit = repository.refs[ref]
    if commit in repository.commits:
        return commit
    kind = ProblemKind.DANGLING if commit else ProblemKind.EMPTY
    what = f"refers to the commit {commit!r}, whose snapshot is missing" if commit else "is empty"
    raise _not_found(
        repository,
        kind,
        f"refs/{ref} of {repository.name} at {repository.place} {what}: "
        f"{_existing_revisions(repository)}.",
        setting,
        _hint(repository, None if ref == "main" else ref, setting),
    )


def _not_found(
    repository: Repository, kind: ProblemKind, text: str, setting: str, hint: str
) -> RevisionNotFound:
    variable = None if setting.startswith("--") else setting
    return RevisionNotFound(repository.name, Problem(kind, text), variable=variable, hint=hint)


def _existing_revisions(repository: Repository) -> str:
    if revisions := repository.revisions():
        return f"it has {', '.join(revisions)}"
    download = "; a download of it is incomplete or still running"
    return f"it has no snapshots{download if repository.unfinished else ''}"


def _hint(repository: Repository, revision: str | None, setting: str) -> str:
    download = f"inference-server download {repository.name}"
    if revision:
        download += f" --revision {revision}"
    if not repository.revisions():
        return f"Download the model on a machine with network access: {download}"
    if revision == "1":
        return (
            f'Leave {setting} empty, or set it to one of these. "1" was only the default value of '
            "the parameter in older ServingTemplates: remove it there."
        )
    fetch = f", or download it on a machine with network access: {download}" if revision else ""
    return f"Set {setting} to one of these{fetch}."


def open_snapshot(folder: Path, revision: str | None, *, setting: str = "REVISION") -> Snapshot:
    """Choose a snapshot of a ``models--org--name`` folder, and check that it is complete.

    Args:
        folder: The folder.
        revision: Branch, tag, full or unique short commit; None for the default.
        setting: The variable or option that holds the revision, for the error.

    Raises:
        RevisionNotFound: No snapshot matches the revision, or more than one.
        UnreadableModel: This user may not read files of the snapshot.
        IncompleteModel: Files of the snapshot are missing, empty, dangling or cut short.
        OSError: The folder cannot be read.
    """
    repository = read_repository(folder)
    commit = choose_commit(repository, revision, setting=setting)
    path = folder / "snapshots" / commit
    size, problems = examine_model(directory_files(path))
    if len(repository.commits) == 1:
        # With more snapshots, the download may be of another one.
        problems |= _unfinished_downloads(folder)
    if problems:
        raise model_error(
            path,
            problems,
            "Download it again on a machine with network access: "
            f"hf download {repository.name} --revision {commit} --cache-dir {folder.parent} "
            "--force-download",
        )
    return Snapshot(path, repository.name, commit, size)


def _unfinished_downloads(folder: Path) -> Problems:
    """Return the blobs whose download is incomplete and was not completed by a later one.

    Our own downloads do not count: they create the snapshot only when it is complete.
    """
    try:
        blobs = set(os.listdir(folder / "blobs"))
    except FileNotFoundError:
        return {}  # snapshots may hold plain files
    except OSError as error:
        return {"blobs": access_problem(error)}
    return {
        f"blobs/{blob}": UNFINISHED
        for blob in sorted(blobs)
        if blob.endswith(".incomplete")
        and not blob.endswith(PARTIAL)
        and blob.split(".")[0] not in blobs
    }
