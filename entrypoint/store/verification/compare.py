"""Compares a model with the hashes in its blobs' names, its manifest and its indexes.

Every blob is compared with the hash in its name, every file with the manifest, if there is one, and
the model's indexes with the files that they name. A plain directory without a manifest has no
hashes: only its structure is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from entrypoint.errors import Problem, ProblemKind
from entrypoint.store.disk.cache import UNFINISHED, Repository, default_commit
from entrypoint.store.disk.digest import Digests, hash_type
from entrypoint.store.disk.integrity import examine_model
from entrypoint.store.disk.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Manifest,
    load_manifest,
)
from entrypoint.store.verification.contents import Content, Folder
from entrypoint.store.verification.target import DigestsByContent, Target, repository_in

ONLY_STRUCTURE = (
    "only its structure was checked, because a plain directory without a manifest has no hashes"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of comparing a model.

    Attributes:
        place: Its path.
        repository: ``org/name``, None for a plain model.
        files: The number of files in its snapshots, or in the plain model.
        bytes: The bytes that were compared with a hash.
        problems: ``{file: problem}``.
        notes: What could not be checked, and harmless findings.
    """

    place: Path
    repository: str | None
    files: int
    bytes: int
    problems: Mapping[str, Problem]
    notes: tuple[str, ...]


def compare(target: Target, hashed: DigestsByContent | None) -> Finding:
    """Compare a model with its blobs' names, its manifest and its indexes.

    Args:
        target: The model.
        hashed: The hashes of its contents; None to compare only names and sizes.
    """
    plain = target.folder.repository is None
    problems, notes = (_compare_plain if plain else _compare_repository)(target, hashed)
    compared = 0
    if hashed is not None and not (plain and target.manifest is None):
        compared = sum(content.size for content in set(target.contents.values()))
    folder = target.folder
    files = sum(1 for name in target.contents if plain or name.startswith("snapshots/"))
    return Finding(folder.place, folder.repository, files, compared, problems, tuple(notes))


Judgement = tuple[dict[str, Problem], list[str]]


def _compare_plain(target: Target, hashed: DigestsByContent | None) -> Judgement:
    files = target.folder
    problems = examine_model(files)[1]
    if target.manifest is not None:
        for name, what in _against_manifest(files, target.manifest, hashed):
            problems.setdefault(name, what)
        return problems, []
    return problems, [ONLY_STRUCTURE] if hashed is not None else []


def _compare_repository(target: Target, hashed: DigestsByContent | None) -> Judgement:
    folder = target.folder
    repository = repository_in(folder)
    manifest, problems = _manifest(target)
    notes: list[str] = []
    commits = (target.commit,) if target.commit else repository.commits
    default = default_commit(repository)
    for commit in commits:
        files = folder.below(f"snapshots/{commit}")
        own = manifest if manifest is not None and manifest.commit == commit else None
        found = dict(files.problems)
        incomplete = examine_model(files)[1]
        if len(commits) == 1 or commit == default:
            found |= incomplete
        elif incomplete.keys() - found.keys():
            notes.append(f"snapshots/{commit} is not the default revision, and is incomplete")
        if hashed is not None:
            for name, what in _against_blobs(files, own, hashed):
                found.setdefault(name, what)
            if own is None and (unlinked := files.contents.keys() - files.blobs.keys()):
                notes.append(
                    f"the content of {len(unlinked)} files in snapshots/{commit} was not checked: "
                    "they are not links to blobs, and there is no manifest"
                )
        if own is not None:
            for name, what in _against_manifest(files, own, hashed):
                found.setdefault(name, what)
        start = "" if len(commits) == 1 else f"{commit[:7]}/"
        problems |= {start + name: what for name, what in found.items()}
    if target.commit is None:
        problems |= dict(_around(folder, repository, hashed))
        notes += _unused(folder)
        if not commits:
            problems["snapshots"] = _missing("missing: the repository has no snapshot")
        elif default is None:
            notes.append("it has no default revision: set REVISION to serve it")
    return problems, notes


def _manifest(target: Target) -> tuple[Manifest | None, dict[str, Problem]]:
    """Return the manifest to compare with, and the problems with the manifest itself."""
    folder, manifest = target.folder, target.manifest
    if manifest is None:
        if MANIFEST not in folder.contents:
            return None, {}
        try:
            manifest = load_manifest(folder.read(MANIFEST, MAX_MANIFEST_BYTES))
        except (ValueError, OSError) as error:
            return None, {MANIFEST: Problem(ProblemKind.INVALID, str(error))}
    if manifest.repository != folder.repository:
        return manifest, {
            MANIFEST: _different(f"is for {manifest.repository!r}, not for {folder.repository!r}")
        }
    given = target.manifest is not None
    there = (target.commit,) if given and target.commit else repository_in(folder).commits
    if manifest.commit not in there and (given or target.commit is None):
        text = f"is for the commit {manifest.commit}, which is missing"
        return manifest, {MANIFEST: _different(text)}
    return manifest, {}


def _against_blobs(
    files: Folder, manifest: Manifest | None, hashed: DigestsByContent
) -> Iterator[tuple[str, Problem]]:
    """Compare the files of a snapshot with the names of the blobs that they lead to."""
    blobs = files.blobs
    by_hash = {file.sha256: file.name for file in manifest.files} if manifest else {}
    for name, content in files.contents.items():
        blob = blobs.get(name)
        if blob is not None and (problem := _blob_problem(blob, hashed[content])):
            other = by_hash.get(hashed[content].sha256, name)
            known = f"; that is the content of {other}" if other != name else ""
            yield name, replace(problem, text=problem.text + known)


def _blob_problem(blob: str, digests: Digests) -> Problem | None:
    actual = digests.of(blob)
    if actual is None:
        return Problem(ProblemKind.INVALID, f"the name of its blob, {blob}, is no hash")
    if actual == blob:
        return None
    return _different(f"its content has the hash {actual}, but its blob is named {blob}")


def _different(text: str) -> Problem:
    return Problem(ProblemKind.DIFFERENT, text)


def _missing(text: str) -> Problem:
    return Problem(ProblemKind.MISSING, text)


def _unexpected(text: str) -> Problem:
    return Problem(ProblemKind.UNEXPECTED, text)


def _against_manifest(
    files: Folder, manifest: Manifest, hashed: DigestsByContent | None
) -> Iterator[tuple[str, Problem]]:
    """Compare files with the manifest: their hashes or, without hashes, only their sizes."""
    contents, blobs = files.contents, files.blobs
    for file in manifest.files:
        content = contents.get(file.name)
        if content is None:
            if file.name not in files.problems:
                yield file.name, _missing("missing, listed in the manifest")
        elif content.size != file.size:
            text = f"has {content.size} bytes, but {file.size} in the manifest"
            yield file.name, _different(text)
        elif hashed is not None and hashed[content].sha256 != file.sha256:
            actual = hashed[content].sha256
            text = f"has the SHA-256 {actual}, but {file.sha256} in the manifest"
            yield file.name, _different(text)
        elif blobs.get(file.name, file.blob) != file.blob:
            text = f"links to the blob {blobs[file.name]}, but to {file.blob} in the manifest"
            yield file.name, _different(text)
    for name in sorted(contents.keys() - {file.name for file in manifest.files}):
        yield name, _unexpected("not in the manifest")


def _around(
    folder: Folder, repository: Repository, hashed: DigestsByContent | None
) -> Iterator[tuple[str, Problem]]:
    """Yield the problems of a repository's folder outside its snapshots."""
    used = _used(folder)
    blobs = folder.below("blobs").contents
    for name, content in folder.contents.items():
        top, _, blob = name.partition("/")
        depth = {"blobs": 1, "refs": 1, "snapshots": 2}.get(top)
        if name != MANIFEST and (depth is None or name.count("/") < depth):
            yield name, _unexpected("unknown: it does not belong here")
        elif top == "blobs" and content not in used:
            if blob.endswith(".incomplete"):
                if blob.split(".")[0] not in blobs:
                    yield name, UNFINISHED
            elif hash_type(blob) is None:
                yield name, _unexpected("unknown: its name is not a hash, and nothing links to it")
            elif hashed is not None and (problem := _blob_problem(blob, hashed[content])):
                yield name, problem
    for name, what in folder.problems.items():
        if not name.startswith("snapshots/"):
            yield name, what
    for ref, commit in repository.refs.items():
        if commit not in repository.commits:
            text = f"refers to the commit {commit!r}, whose snapshot is missing"
            yield f"refs/{ref}", Problem(ProblemKind.DANGLING, text)


def _used(folder: Folder) -> set[Content]:
    return set(folder.below("snapshots").contents.values())


def _unused(folder: Folder) -> Iterator[str]:
    used = _used(folder)
    blobs = folder.below("blobs").contents.values()
    unused = [content for content in blobs if content not in used]
    if unused:
        total = sum(content.size for content in unused)
        yield f"{len(unused)} blobs ({total:,} bytes) are not used by any snapshot"
