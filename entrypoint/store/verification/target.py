"""The models to verify or sign, on disk or in a tarball, and the hashes of their files."""

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
    Folder,
    folder_in_tarball,
    folder_on_disk,
)
from entrypoint.store.verification.scan import Scan

Advance = Callable[[int], None]
"""Called with the number of bytes hashed, from any thread."""
DigestsByContent = Mapping[Content, Digests]


@dataclass(frozen=True, slots=True)
class Target:
    """A model to verify.

    Attributes:
        folder: Its folder: a cached repository's or a plain model's.
        commit: The only snapshot to verify; None for all of them.
        manifest: The manifest to compare with; None for the one in the folder, if any.
    """

    folder: Folder
    commit: str | None = None
    manifest: Manifest | None = None

    @property
    def contents(self) -> dict[str, Content]:
        """``{name: content}`` of the files to hash, links followed."""
        start = "" if self.commit is None else f"snapshots/{self.commit}/"
        return {
            name: content
            for name, content in self.folder.contents.items()
            if name.startswith(start)
        }


def targets_on_disk(path: Path) -> list[Target]:
    """Return the models in a directory: a cache's, one of them, one snapshot, or a plain model.

    Raises:
        OSError: It cannot be listed.
    """
    if path.name.startswith(PREFIX) and (path / "snapshots").is_dir():
        return [Target(folder_on_disk(path))]
    folder = path.parent.parent
    if path.parent.name == "snapshots" and folder.name.startswith(PREFIX):
        return [Target(folder_on_disk(folder), path.name)]
    if not is_plain_model(path) and (repositories := find_repositories(path)):
        return [Target(folder_on_disk(repositories[name])) for name in sorted(repositories)]
    return [Target(folder_on_disk(path))]


def targets_in_tarball(found: Scan) -> list[Target]:
    """Return the models in a tarball: those of a cache, or a plain model."""
    tree = found.tree
    tops: list[Parts] = [(name,) for name in tree.folders(())]
    repositories: list[Parts] = [
        (*parent, name)
        for parent in ((), *tops)
        for name in tree.folders(parent)
        if name.startswith(PREFIX)
    ]
    folders = repositories or [_plain_folder(tree, tops)]
    return [Target(folder_in_tarball(tree, folder, found.kept)) for folder in sorted(folders)]


def unrelated_files(found: Scan) -> dict[str, Problem]:
    """Return the files in a tarball that do not belong to any model in it."""
    folders = [
        parts
        for parts in found.tree.entries
        if parts[-1].startswith(PREFIX) and len(parts) <= 2 and not parts[0].startswith(".")
    ]
    return {
        "/".join(parts): Problem(ProblemKind.UNEXPECTED, "unknown: it does not belong to any model")
        for parts, entry in found.tree.entries.items()
        if folders
        and entry.kind != "folder"
        and parts[-1] != VERSION_FILE[0]
        and not any(part.startswith(".") for part in parts)
        and not any(parts[: len(folder)] == folder for folder in folders)
    }


def _plain_folder(tree: Tree, tops: list[Parts]) -> Parts:
    """Return the folder of a plain model: the only top folder if it is alone, else the top."""
    files = [parts for parts, entry in tree.entries.items() if entry.kind != "folder"]
    return tops[0] if len(tops) == 1 and all(parts[:1] == tops[0] for parts in files) else ()


def repository_in(folder: Folder) -> Repository:
    """Return the refs and snapshots of a repository's folder, on disk or in a tarball."""
    commits = {
        name.split("/")[1]
        for name in (*folder.contents, *folder.problems)
        if name.startswith("snapshots/") and name.count("/") > 1
    }
    refs = folder.below("refs")
    texts = {
        name: refs.read(name, MAX_REF_BYTES).decode(errors="replace") for name in refs.contents
    }
    named = {name: text.strip() for name, text in texts.items()}
    assert folder.repository is not None
    return Repository(folder.repository, folder.place, tuple(sorted(commits)), named)


def model_files(target: Target) -> Folder:
    """Return the files of the target's snapshot: the named, the default or the only one.

    Raises:
        UsageError: There are several, without a default.
    """
    folder = target.folder
    if folder.repository is None:
        return folder
    commit = target.commit or default_commit(repository_in(folder))
    if commit is None:
        raise UsageError(
            f"{folder.place} has no default revision.",
            hint="Name one of its snapshots: models--org--name/snapshots/COMMIT",
        )
    return folder.below(f"snapshots/{commit}")


def hash_contents(
    target: Target, known: DigestsByContent, threads: int, advance: Advance
) -> dict[Content, Digests]:
    """Hash each content of a target once, several in parallel.

    Args:
        target: The model.
        known: The contents that are already hashed.
        threads: How many to hash in parallel.
        advance: Called with the bytes hashed.

    Raises:
        OSError: One cannot be read.
    """
    contents = target.contents
    git = {
        contents[name]
        for name, blob in target.folder.blobs.items()
        if name in contents and hash_type(blob) == "git-sha1"
    }
    present = set(contents.values())
    wanted = sorted(present - known.keys(), key=lambda content: -content.size)

    def hash_one(content: Content, stop: Stop) -> Digests:
        hasher = Hasher(content.size, git=content in git)
        for block in content.blocks():
            stop.check()
            hasher.update(block)
            advance(len(block))
        return hasher.digests()

    hashed = dict(zip(wanted, in_threads(hash_one, wanted, threads), strict=True))
    return hashed | {content: known[content] for content in present if content in known}
