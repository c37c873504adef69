"""What is verified or signed: models on disk or in a tarball, and the hashes of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import Problem, ProblemKind, UsageError
from entrypoint.store.disk.cache import (
    MAX_REF_BYTES,
    PREFIX,
    Repository,
    default_commit,
    find_repositories,
)
from entrypoint.store.disk.digest import Digests, Hasher, hash_type
from entrypoint.store.disk.directory import is_plain_model
from entrypoint.store.disk.manifest import Manifest
from entrypoint.store.tarballs.archive import Parts
from entrypoint.store.tarballs.layout import VERSION_FILE
from entrypoint.store.tarballs.tree import Tree
from entrypoint.store.threads import Stop, in_threads
from entrypoint.store.verification.contents import (
    Content,
    FilesBelow,
    Folder,
    folder_in_tarball,
    folder_on_disk,
)
from entrypoint.store.verification.scan import Scan

Advance = Callable[[int], None]
"""Called with the number of bytes that were hashed, from any thread."""
Hashed = Mapping[Content, Digests]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified.

    Attributes:
        folder: A repository's, or a plain model's.
        commit: The only snapshot that counts; None for all that is there.
        manifest: What it is compared with; None to take the one in the folder, if there is one.
    """

    folder: Folder
    commit: str | None = None
    manifest: Manifest | None = None

    @property
    def contents(self) -> dict[str, Content]:
        """``{name: content}`` of what is to be hashed, links followed."""
        if self.commit is None:
            return dict(self.folder.contents)
        start = f"snapshots/{self.commit}/"
        return {
            name: content
            for name, content in self.folder.contents.items()
            if name.startswith(start)
        }


def subjects_on_disk(path: Path, manifest: Manifest | None = None) -> list[Subject]:
    """What a directory holds: a cache's models, one of them, one snapshot, or a plain model.

    Raises:
        OSError: It cannot be listed.
    """
    if path.name.startswith(PREFIX) and (path / "snapshots").is_dir():
        return [Subject(folder_on_disk(path), manifest=manifest)]
    folder = path.parent.parent
    if path.parent.name == "snapshots" and folder.name.startswith(PREFIX):
        return [Subject(folder_on_disk(folder), path.name, manifest)]
    if not is_plain_model(path) and (repositories := find_repositories(path)):
        return [
            Subject(folder_on_disk(repositories[name]), manifest=manifest)
            for name in sorted(repositories)
        ]
    return [Subject(folder_on_disk(path), manifest=manifest)]


def subjects_in_tarball(found: Scan, manifest: Manifest | None = None) -> list[Subject]:
    """What a tarball holds: the models of a cache, or a plain model."""
    tree = found.tree
    tops: list[Parts] = [(name,) for name in tree.folders(())]
    repositories: list[Parts] = [
        (*parent, name)
        for parent in ((), *tops)
        for name in tree.folders(parent)
        if name.startswith(PREFIX)
    ]
    folders = repositories or [_plain_folder(tree, tops)]
    return [
        Subject(folder_in_tarball(tree, folder, found.kept), manifest=manifest)
        for folder in sorted(folders)
    ]


def strays(found: Scan) -> dict[str, Problem]:
    """Files in a tarball that belong to no model in it."""
    folders = [
        parts
        for parts in found.tree.entries
        if parts[-1].startswith(PREFIX) and len(parts) <= 2 and not parts[0].startswith(".")
    ]
    return {
        "/".join(parts): Problem(ProblemKind.UNEXPECTED, "unknown: it belongs to no model")
        for parts, entry in found.tree.entries.items()
        if folders
        and entry.kind != "folder"
        and parts[-1] != VERSION_FILE[0]
        and not any(part.startswith(".") for part in parts)
        and not any(parts[: len(folder)] == folder for folder in folders)
    }


def _plain_folder(tree: Tree, tops: list[Parts]) -> Parts:
    """The folder of a plain model: the only one at the top, if there is nothing beside it."""
    files = [parts for parts, entry in tree.entries.items() if entry.kind != "folder"]
    return tops[0] if len(tops) == 1 and all(parts[:1] == tops[0] for parts in files) else ()


def repository_in(folder: Folder) -> Repository:
    """The refs and snapshots of a folder, wherever it is."""
    commits = {
        name.split("/")[1]
        for name in (*folder.contents, *folder.problems)
        if name.startswith("snapshots/") and name.count("/") > 1
    }
    refs = {
        name.removeprefix("refs/"): folder.read(name, MAX_REF_BYTES)
        .decode(errors="replace")
        .strip()
        for name in folder.contents
        if name.startswith("refs/")
    }
    assert folder.repository is not None
    return Repository(folder.repository, folder.place, tuple(sorted(commits)), refs)


def model_files(subject: Subject) -> FilesBelow:
    """The files of the snapshot that counts: the named one, the default one, or the only one.

    Raises:
        UsageError: There are several, and none of them is the default.
    """
    folder = subject.folder
    if folder.repository is None:
        return FilesBelow(folder, "")
    commit = subject.commit or default_commit(repository_in(folder))
    if commit is None:
        raise UsageError(
            f"{folder.place} has no default revision.",
            hint="Name one of its snapshots, as: models--org--name/snapshots/COMMIT",
        )
    return FilesBelow(folder, f"snapshots/{commit}")


def hash_contents(
    subject: Subject, known: Hashed, threads: int, advance: Advance
) -> dict[Content, Digests]:
    """Hash the contents of a subject where they lie, several at once, each once.

    Args:
        subject: What is verified.
        known: What was hashed when it went by.
        threads: How many at once.
        advance: Told of the progress.

    Raises:
        OSError: One cannot be read.
    """
    contents = subject.contents
    git = {
        contents[name]
        for name, blob in subject.folder.blobs.items()
        if name in contents and hash_type(blob) == "git-sha1"
    }
    there = set(contents.values())
    wanted = sorted(there - known.keys(), key=lambda content: -content.size)

    def hash_one(content: Content, stop: Stop) -> Digests:
        hasher = Hasher(content.size, git=content in git)
        for block in content.blocks():
            stop.check()
            hasher.update(block)
            advance(len(block))
        return hasher.digests()

    hashed = dict(zip(wanted, in_threads(hash_one, wanted, threads), strict=True))
    return hashed | {content: known[content] for content in there if content in known}
