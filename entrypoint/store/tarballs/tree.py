"""The files in an uncompressed tarball and their positions, without unpacking it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import Problem
from entrypoint.store.disk.cache import PREFIX, repository_name
from entrypoint.store.disk.directory import CONFIG_FILES
from entrypoint.store.disk.files import dangling_link
from entrypoint.store.tarballs.archive import (
    HEADERS,
    Parts,
    open_archive,
    repository_of,
    split_name,
)
from entrypoint.store.tarballs.member import MemberKind, check_member

MAX_LINKS = 40
"""How many links Linux follows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of a tarball.

    Attributes:
        kind: Its kind. A hard link counts as the file that it links to.
        offset: The start of a file's content in the tarball, in bytes.
        size: The length of a file's content, in bytes.
        target: The target of a symbolic link.
        sparse: Whether a file has holes, so that the tarball does not contain all its bytes.
    """

    kind: MemberKind
    offset: int = 0
    size: int = 0
    target: str = ""
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class PackedFiles:
    """The files of one model inside a tarball.

    Attributes:
        archive: The tarball.
        place: The tarball and the folder in it, for messages.
        entries: ``{name: the file, links followed}``.
        problems: ``{name: problem}`` of dangling links.
    """

    archive: Path
    place: Path
    entries: Mapping[str, Entry]
    problems: Mapping[str, Problem]

    @property
    def sizes(self) -> dict[str, int]:
        """``{name: bytes}``."""
        return {
            **{name: entry.size for name, entry in self.entries.items()},
            **dict.fromkeys(self.problems, 0),
        }

    def read(self, name: str, count: int = -1, offset: int = 0) -> bytes:
        """Return the content of a file without holes."""
        entry = self.entries[name]
        left = max(entry.size - offset, 0)
        descriptor = os.open(self.archive, os.O_RDONLY)
        try:
            wanted = left if count < 0 else min(count, left)
            return os.pread(descriptor, wanted, entry.offset + offset)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Tree:
    """The members of a tarball, by the parts of their names."""

    archive: Path
    entries: Mapping[Parts, Entry]

    def resolve(self, parts: Parts) -> Parts | None:
        """Return a name with its symbolic links followed, None if they dangle or form a circle."""
        waiting, reached = list(reversed(parts)), list[str]()
        links = 0
        while waiting:
            step = waiting.pop()
            if step == "..":  # no link leads out of the archive: they were checked
                reached.pop()
                continue
            reached.append(step)
            entry = self.entries.get(tuple(reached))
            if entry is None:
                return None
            if entry.kind == "link":
                links += 1
                if links > MAX_LINKS:
                    return None
                reached.pop()
                steps = [step for step in entry.target.split("/") if step not in ("", ".")]
                waiting.extend(reversed(steps))
        return tuple(reached)

    def files(self, folder: Parts) -> PackedFiles:
        """Return the files below a folder, links followed, without those in hidden folders."""
        entries: dict[str, Entry] = {}
        problems: dict[str, Problem] = {}
        for parts, entry in self.entries.items():
            inside = parts[len(folder) :]
            if parts[: len(folder)] != folder or not inside or entry.kind == "folder":
                continue
            if any(part.startswith(".") for part in inside[:-1]):
                continue
            name = "/".join(inside)
            reached = self.resolve(parts)
            if reached is None:
                problems[name] = dangling_link(entry.target)
            elif self.entries[reached].kind == "file":
                entries[name] = self.entries[reached]
        return PackedFiles(self.archive, self.archive.joinpath(*folder), entries, problems)

    def folders(self, parent: Parts) -> list[str]:
        """Return the names of the folders directly below one."""
        depth = len(parent)
        return [
            parts[depth]
            for parts, entry in self.entries.items()
            if len(parts) == depth + 1 and parts[:depth] == parent and entry.kind == "folder"
        ]


def read_tree(archive: Path, model_id: str) -> Tree:
    """Return the members of a model in an uncompressed tarball.

    Skips members of other repositories, as unpacking does.

    Args:
        archive: An uncompressed tarball.
        model_id: The requested repository.

    Raises:
        RefusedArtifact: It is damaged or unsafe.
        OSError: It cannot be read.
    """
    entries: dict[Parts, Entry] = {}
    kinds: dict[Parts, MemberKind] = {}
    with open_archive(archive, buffer=HEADERS) as opened:
        for parts, member in opened.members():
            inside = repository_of(parts)
            if inside and repository_name(inside[0]) != model_id:
                continue
            check_member(archive, parts, member, kinds)
            for depth in range(len(parts)):
                entries.setdefault(parts[:depth], Entry("folder"))
            if member.isdir():
                entries[parts] = Entry("folder")
            elif member.issym():
                entries[parts] = Entry("link", target=member.linkname)
            elif member.islnk():
                entries[parts] = entries[split_name(archive, member.linkname)]
            else:
                sparse = member.issparse()
                entries[parts] = Entry("file", member.offset_data, member.size, sparse=sparse)
            kinds[parts] = entries[parts].kind
            kinds |= {parts[:depth]: "folder" for depth in range(1, len(parts))}
        opened.finish()
    entries.pop((), None)
    return Tree(archive, entries)


def is_plain_folder(tree: Tree, folder: Parts) -> bool:
    """Whether a folder has a file that every model has."""
    return any((*folder, mark) in tree.entries for mark in CONFIG_FILES)


def model_folder(tree: Tree, commit: str | None) -> Parts | None:
    """Return the folder of a snapshot or of the only plain model, None if none exists.

    Args:
        tree: The members of one repository.
        commit: The commit of the snapshot, None for a plain model.
    """

    tops = [(name,) for name in tree.folders(())]
    if commit is None:
        folders: list[Parts] = [()]
        if not is_plain_folder(tree, ()):
            folders = [top for top in tops if is_plain_folder(tree, top)]
        return folders[0] if len(folders) == 1 else None
    for parent in ((), *tops):
        for name in tree.folders(parent):
            folder = (*parent, name, "snapshots", commit)
            if name.startswith(PREFIX) and folder in tree.entries:
                return folder
    return None
