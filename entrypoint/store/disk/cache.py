"""The Hugging Face cache: repositories, their refs and snapshots, and the choice of a revision.

Its layout, in a cache root or in a folder of one::

    models--org--name/refs/main                     the commit of the branch
    models--org--name/snapshots/<commit>/config.json -> ../../blobs/<hash>
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import Problem, ProblemKind, RevisionNotFound
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import access_problem, subfolders
from entrypoint.store.disk.integrity import Problems, examine_model, model_error
from entrypoint.store.disk.loadable import examine_loadable, loading_error
from entrypoint.store.disk.loading import Loading

PREFIX = "models--"
SHORT_COMMIT = re.compile(r"[0-9a-f]{4,40}")
# A ref holds one commit; a longer file is something else.
MAX_REF_BYTES = 256
PARTIAL = ".resume.incomplete"
"""The suffix of a blob during its download; the hub's own tools use ``.incomplete``."""
UNFINISHED = Problem(ProblemKind.INCOMPLETE, "a download that is incomplete or still running")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete model directory.

    Attributes:
        path: The directory.
        repository: ``org/name``; None for a directory outside of a cache.
        commit: None for a directory outside of a cache.
        bytes: Size of its files.
    """

    path: Path
    repository: str | None
    commit: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Repository:
    """The snapshots and refs of one repository in a cache.

    Attributes:
        name: ``org/name``.
        place: The folder, or the tarball that contains it; for messages.
        commits: The available snapshots.
        refs: ``{branch, tag or commit: commit}``.
        unfinished: Whether there are no snapshots but an incomplete download.
    """

    name: str
    place: Path
    commits: tuple[str, ...]
    refs: Mapping[str, str]
    unfinished: bool = False

    def revisions(self) -> tuple[str, ...]:
        """Return the valid values of REVISION: refs with a snapshot, then commits."""
        refs = (ref for ref, commit in self.refs.items() if commit in self.commits)
        return tuple(dict.fromkeys((*refs, *self.commits)))


def repository_name(folder: str) -> str:
    """Return ``org/name`` for a folder ``models--org--name``."""
    return folder.removeprefix(PREFIX).replace("--", "/", 1)


def find_repositories(root: Path) -> dict[str, Path]:
    """Return ``{org/name: folder}`` of the repositories in ``root`` and in its direct subfolders.

    Subfolders count because a tarball of a cache folder unpacks to one.

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
            continue  # unreadable, but not the requested folder
        for name in names:
            if name.startswith(PREFIX):
                found.setdefault(repository_name(name), folder / name)
    return found


def read_repository(folder: Path) -> Repository:
    """Return the snapshots and refs of a ``models--org--name`` folder.

    Raises:
        OSError: The folder cannot be read.
    """
    refs = {}
    for place, folders, files in os.walk(folder / "refs"):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file)
            with path.open("rb") as content:
                name = path.relative_to(folder / "refs").as_posix()
                refs[name] = _commit_in(content.read(MAX_REF_BYTES))
    try:
        commits = tuple(subfolders(folder / "snapshots"))
    except FileNotFoundError:
        commits = ()
    unfinished = not commits and any((folder / "blobs").glob("*.incomplete"))
    return Repository(repository_name(folder.name), folder, commits, refs, unfinished)


def _commit_in(content: bytes) -> str:
    """Return the commit in a ref, which people also write by hand, on Windows too."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-16" if wide else "utf-8", "replace")
    commit = text.strip("\0\"' \t\r\n")
    return commit.lower() if SHORT_COMMIT.fullmatch(commit.lower()) else commit


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
    if revision in repository.commits:
        return revision
    place = f"{repository.name} at {repository.place}"
    existing = _existing_revisions(repository)
    if (ref := _matching_ref(repository, revision)) is not None:
        commit = repository.refs[ref]
        if commit in repository.commits:
            return commit
        if len(same := _matching_commits(repository, commit or "none")) == 1:
            return same[0]
        kind = ProblemKind.DANGLING if commit else ProblemKind.EMPTY
        what = f"refers to the commit {commit!r}, whose snapshot is missing"
        text = f"refs/{ref} of {place} {what if commit else 'is empty'}: {existing}."
        hint = _hint(repository, None if ref == "main" else ref, setting)
    elif len(candidates := _matching_commits(repository, revision)) == 1:
        return candidates[0]
    elif revision is None:
        kind = ProblemKind.AMBIGUOUS if candidates else ProblemKind.MISSING
        text = f"{setting} is not set, and {place} has no refs/main: {existing}."
        hint = _hint(repository, None, setting)
    elif candidates:
        kind = ProblemKind.AMBIGUOUS
        text = f"{setting} is {revision!r}, which matches {len(candidates)} commits of {place}: "
        text += f"{', '.join(candidates)}."
        hint = f"Set {setting} to one of these in full."
    else:
        kind = ProblemKind.MISSING
        text = f"{setting} is {revision!r}, which {place} does not have: {existing}."
        hint = _hint(repository, revision, setting)
    variable = None if setting.startswith("--") else setting
    problem = Problem(kind, text)
    raise RevisionNotFound(repository.name, revision, problem, variable=variable, hint=hint)


def default_commit(repository: Repository) -> str | None:
    """Return the commit that is loaded if no revision is set; None if one must be set."""
    try:
        return choose_commit(repository, None)
    except RevisionNotFound:
        return None


def _matching_ref(repository: Repository, revision: str | None) -> str | None:
    # The hub's client keeps refs/pr/1 as refs/refs/pr/1; other tools keep it as refs/pr/1.
    names = ["main"]
    if revision is not None:
        names = [revision, revision.removeprefix("refs/"), f"refs/{revision}"]
    return next((name for name in names if name in repository.refs), None)


def _matching_commits(repository: Repository, revision: str | None) -> list[str]:
    if revision is None:
        return list(repository.commits)
    short = revision.lower()
    if not SHORT_COMMIT.fullmatch(short):
        return []
    return [commit for commit in repository.commits if commit.startswith(short)]


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


def open_snapshot(
    folder: Path, revision: str | None, loading: Loading | None, *, setting: str = "REVISION"
) -> Snapshot:
    """Choose a snapshot of a ``models--org--name`` folder, and check that it is complete.

    Args:
        folder: The folder.
        revision: Branch, tag, full or unique short commit; None for the default.
        loading: How the engine is to load it; None to check every file.
        setting: The variable or option that holds the revision, for the error.

    Raises:
        RevisionNotFound: No snapshot matches the revision, or more than one.
        UnreadableModel: This user may not read files of the snapshot.
        IncompleteModel: Files of the snapshot are missing, empty, dangling or truncated.
        UnloadableModel: vLLM has no loader for what the snapshot holds.
        OSError: The folder cannot be read.
    """
    repository = read_repository(folder)
    commit = choose_commit(repository, revision, setting=setting)
    path = folder / "snapshots" / commit
    files = directory_files(path)
    size, problems = examine_loadable(files, loading) if loading else examine_model(files)
    hint = (
        "Download it again on a machine with network access: "
        f"hf download {repository.name} --revision {commit} --cache-dir {folder.parent} "
        "--force-download"
    )
    # With more snapshots, the download may be of another one.
    unfinished = _unfinished_downloads(folder) if len(repository.commits) == 1 else {}
    if problems and all(problem.kind is ProblemKind.DANGLING for problem in problems.values()):
        hint = (
            f"The links lead nowhere. Copy the complete folder {folder.name} with its blobs, or "
            f"copy the files that the links point to: cp -rL, rsync -rL. Or: {hint}"
        )
    if loading and not unfinished and (error := loading_error(files, loading, problems, hint)):
        raise error
    problems |= unfinished
    if problems:
        raise model_error(path, problems, hint)
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
