"""Where the bytes of a model's files are: on disk, or in a tarball."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from entrypoint.errors import Problem
from entrypoint.store.disk.cache import PREFIX, repository_name
from entrypoint.store.disk.digest import BLOCK, Hasher
from entrypoint.store.disk.files import dangling_link, directory_files
from entrypoint.store.tarballs.tree import Tree

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a model's file, as part of a file on disk.

    Attributes:
        path: The file on disk, links followed, or the tarball.
        offset: Where the content starts, in bytes; in a compressed tarball, its uncompressed
            offset.
        size: Its length in bytes.
    """

    path: Path
    offset: int
    size: int

    def blocks(self) -> Iterator[memoryview]:
        """Yield the content in blocks. Each block reuses the buffer of the previous one.

        Raises:
            OSError: It cannot be read, or was truncated.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            buffer = memoryview(bytearray(min(BLOCK, self.size)))
            done = 0
            while done < self.size:
                count = os.preadv(descriptor, [buffer[: self.size - done]], self.offset + done)
                if count == 0:
                    raise OSError(errno.EIO, "it was truncated", os.fspath(self.path))
                done += count
                yield buffer[:count]
        finally:
            os.close(descriptor)

    def sha256(self) -> str:
        """Return the SHA-256 of the content.

        Raises:
            OSError: It cannot be read, or was truncated.
        """
        hasher = Hasher(self.size)
        for block in self.blocks():
            hasher.update(block)
        return hasher.digests().sha256


@dataclass(frozen=True, slots=True)
class Folder:
    """A ``models--org--name`` folder or a plain model's folder, on disk or in a tarball.

    Attributes:
        place: Its path, for messages.
        repository: ``org/name``, None for a plain model.
        contents: ``{name relative to the folder: content}``, links followed.
        blobs: ``{name: blob}`` of the names that link to a blob.
        problems: ``{name: problem}`` of the files that cannot be read.
        kept: The first bytes of contents in a compressed tarball.
    """

    place: Path
    repository: str | None
    contents: Mapping[str, Content]
    blobs: Mapping[str, str]
    problems: Mapping[str, Problem]
    kept: Mapping[Content, bytes] = field(default_factory=dict)

    def read(self, name: str, count: int = -1, offset: int = 0) -> bytes:
        """Return ``count`` bytes of a file from ``offset``, all of them if ``count`` is -1.

        Raises:
            OSError: It cannot be read, or was not kept.
        """
        content = self.contents[name]
        left = max(content.size - offset, 0)
        wanted = left if count < 0 else min(count, left)
        if content in self.kept:
            piece = self.kept[content][offset : offset + wanted]
            if len(piece) < wanted:
                raise OSError(errno.EFBIG, "too large to read in a compressed tarball")
            return piece
        descriptor = os.open(content.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, wanted, content.offset + offset)
        finally:
            os.close(descriptor)

    @property
    def sizes(self) -> dict[str, int]:
        """``{name: bytes}``; 0 for the files that cannot be read."""
        sizes = {name: content.size for name, content in self.contents.items()}
        return {**dict.fromkeys(self.problems, 0), **sizes}

    def below(self, folder: str) -> Folder:
        """Return the part of the folder that lies in a subfolder, such as one snapshot."""
        return replace(
            self,
            place=self.place / folder,
            contents=_below(folder, self.contents),
            blobs=_below(folder, self.blobs),
            problems=_below(folder, self.problems),
        )

    def with_hidden(self, hashes: Mapping[str, str]) -> Callable[[frozenset[str]], dict[str, str]]:
        """Return a function that adds hidden files, on request, to ``{name: SHA-256}``.

        Files in hidden folders are not part of the model, but another tool may have signed them.
        """

        def complete(wanted: frozenset[str]) -> dict[str, str]:
            found = dict(hashes)
            for name in wanted - hashes.keys():
                path = self.place / name
                if ".." not in name.split("/") and path.is_file():
                    found[name] = Content(path, 0, path.stat().st_size).sha256()
            return found

        return complete


def _below(folder: str, named: Mapping[str, Value]) -> dict[str, Value]:
    start = f"{folder}/"
    return {
        name.removeprefix(start): value for name, value in named.items() if name.startswith(start)
    }


def folder_on_disk(path: Path) -> Folder:
    """List a ``models--org--name`` folder, or a plain model directory."""
    files = directory_files(path)
    blobs = os.path.realpath(path / "blobs")
    contents: dict[str, Content] = {}
    ends: dict[str, str] = {}
    for name, size in files.sizes.items():
        if name in files.problems:
            continue
        real = Path(os.path.realpath(path / name))
        contents[name] = Content(real, 0, size)
        if os.path.dirname(real) == blobs:
            ends[name] = real.name
    repository = repository_name(path.name) if path.name.startswith(PREFIX) else None
    return Folder(path, repository, contents, ends, files.problems)


def folder_in_tarball(tree: Tree, parts: tuple[str, ...], kept: Mapping[Content, bytes]) -> Folder:
    """List a folder in a tarball.

    Args:
        tree: All members of the tarball.
        parts: The name of the folder.
        kept: The first bytes of contents in a compressed tarball.
    """
    contents: dict[str, Content] = {}
    ends: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for member, entry in tree.entries.items():
        inside = member[len(parts) :]
        if member[: len(parts)] != parts or not inside or entry.kind == "folder":
            continue
        if any(part.startswith(".") for part in inside[:-1]):
            continue
        name = "/".join(inside)
        reached = tree.resolve(member)
        if reached is None:
            problems[name] = dangling_link(entry.target)
        elif tree.entries[reached].kind == "file":
            found = tree.entries[reached]
            contents[name] = Content(tree.archive, found.offset, found.size)
            if reached[:-1] == (*parts, "blobs"):
                ends[name] = reached[-1]
    named = bool(parts) and parts[-1].startswith(PREFIX)
    repository = repository_name(parts[-1]) if named else None
    return Folder(tree.archive.joinpath(*parts), repository, contents, ends, problems, kept)
