"""Reading the members of a tarball in order."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.cache import PREFIX
from entrypoint.store.progress import OnProgress, Progress, ignore_progress
from entrypoint.store.tarballs.compressed import decompress, is_compressed, min_content
from entrypoint.store.tarballs.header import MAX_HEADERS, HeaderReader, StrictHeader
from entrypoint.store.tarballs.other_archives import find_other, fix_for, part_hint
from entrypoint.store.tarballs.streams import (
    CHUNK,
    CountedFile,
    DecompressedStream,
    PlainStream,
    Stream,
)

HEADERS = 1 << 12
"""Bytes that hold most members' headers. The buffer is thrown away after each of them."""
MAX_MEMBERS = 100_000
"""More than any model has files, and few enough to keep all their names in memory."""
VOLUME_LABEL = b"V"
"""The type of a name for the archive, which ``tar --label`` writes in place of a member."""
FORBIDDEN_FOR_ALL = frozenset({"path", "linkpath", "size"})
"""Keywords that must not be in an extended header for all members."""

# What tarfile, gzip and int() raise for damaged input. The recursion is a header that announces
# the next, which announces the next.
DAMAGE = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    ValueError,
    OverflowError,
    RecursionError,
)

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """A tarball that is being read.

    Attributes:
        path: The tarball.
        size: Its length in bytes.
        compressed: Whether it is compressed, so that skipping a member takes as long as reading it.
        min_content: The bytes that it holds at least; 0 if its start does not state them.
    """

    path: Path
    size: int
    compressed: bool
    min_content: int
    _tar: tarfile.TarFile
    _headers: HeaderReader

    def members(self) -> Iterator[tuple[Parts, tarfile.TarInfo]]:
        """Yield each member with the parts of its name, in order.

        Raises:
            RefusedArtifact: A name leaves the archive's folder, a header contradicts itself, or
                there are too many.
        """
        for _ in range(MAX_MEMBERS):
            self._headers.left = MAX_HEADERS
            member = self._tar.next()
            self._headers.left = sys.maxsize
            if member is None:
                return
            self._tar.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps all of them
            if member.type == VOLUME_LABEL:
                continue
            self._check_header(member)
            yield split_name(self.path, member.name), member
        raise RefusedArtifact(self.path, f"it has more than {MAX_MEMBERS} members")

    def content(self, member: tarfile.TarInfo) -> IO[bytes]:
        """Return the content of a regular file. Read it before you ask for the next member."""
        return cast(IO[bytes], self._tar.extractfile(member))

    def blocks(self, member: tarfile.TarInfo) -> Iterator[tuple[int, memoryview]]:
        """Yield the content of a regular file in blocks, each with its offset in the file.

        The gaps between blocks are holes, which read as zeros. A block is valid only until the
        next one. Read all blocks before you ask for the next member.
        """
        stream = self._headers.stream
        stream.seek(member.offset_data)
        for offset, size in _pieces(member):
            end = offset + size
            while offset < end:
                block = stream.take(min(end - offset, CHUNK))
                if not block:
                    text = f"it ends within {member.name!r}: truncated"
                    raise RefusedArtifact(self.path, text, member=member.name)
                yield offset, block
                offset += len(block)

    def finish(self) -> None:
        """Read to the end of the archive, so that a decompressor compares its checksum.

        Raises:
            RefusedArtifact: Data other than zeros follows the end mark.
        """
        while chunk := self._headers.stream.take(CHUNK):
            if any(chunk):
                raise RefusedArtifact(self.path, "data follows its end mark")

    def _check_header(self, member: tarfile.TarInfo) -> None:
        """Refuse an invalid header, and fix what tarfile misreads in a valid one."""

        def refuse(problem: str) -> RefusedArtifact:
            text = f"the member {member.name!r} {problem}"
            return RefusedArtifact(self.path, text, member=member.name)

        if self._tar.pax_headers.keys() & FORBIDDEN_FOR_ALL or any(
            keyword.startswith("GNU.sparse") for keyword in self._tar.pax_headers
        ):
            raise refuse("follows a header that gives all members one name or size")
        if member.size < 0 or (member.size and not member.isreg()):
            raise refuse(f"has {member.size} bytes")
        if member.isreg() and member.name.endswith("/"):
            raise refuse("is a file with the name of a folder")
        if not member.issparse():
            return
        # GNU tar has its own fields for the real name and size. tarfile uses whichever field
        # comes last, which can be a placeholder name or the stored size.
        for keyword, value in member.pax_headers.items():
            if keyword == "GNU.sparse.name":
                member.name = value
            elif keyword in ("GNU.sparse.size", "GNU.sparse.realsize"):
                member.size = int(value)
        end = 0
        for offset, size in _pieces(member):
            if offset < end or size < 0:
                raise refuse("has an invalid map of its holes")
            end = offset + size
        if end > member.size:
            raise refuse("has an invalid map of its holes")
        stored = sum(size for _, size in _pieces(member))
        following = member.offset_data + -(-stored // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if "size" in member.pax_headers:
            # This is the stored size, if over 8 GB. tarfile uses the file's size instead.
            self._tar.offset = following
        elif self._tar.offset != following:
            raise refuse("has an invalid map of its holes")


def _pieces(member: tarfile.TarInfo) -> list[tuple[int, int]]:
    """Return ``(offset in the file, length)`` of each stored piece of a file, in order."""
    if not member.issparse():
        return [(0, member.size)]
    pieces = cast("list[tuple[int, int]]", member.sparse)
    return [piece for piece in pieces if piece[1]]


def split_name(archive: Path, name: str) -> Parts:
    """Return the parts of a member's name, without ``.``.

    Raises:
        RefusedArtifact: The name is absolute or contains ``..``.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        text = f"the name {name!r} leads out of the archive"
        raise RefusedArtifact(
            archive,
            text,
            member=name,
            hint="Pack the model again with relative names: tar -C PARENT -cf MODEL.tar FOLDER",
        )
    return parts


def _reported(
    blocks: Iterator[bytes], file: IO[bytes], report: Callable[[int], None]
) -> Iterator[bytes]:
    for block in blocks:
        report(file.tell())
        yield block
    report(file.tell())


@contextmanager
def open_archive(
    path: Path,
    on_progress: OnProgress = ignore_progress,
    buffer: int = CHUNK,
) -> Iterator[OpenArchive]:
    """Open a ``.tar``, ``.tar.gz`` or ``.tar.zst`` to read its members in order.

    Args:
        path: The archive.
        on_progress: Called with each change of the archive's bytes read.
        buffer: Bytes to read at once. With :data:`HEADERS`, for reading only names, nothing is
            decompressed ahead.

    Raises:
        RefusedArtifact: It is damaged, truncated, or not a tarball; also from the body.
        OSError: It cannot be read.
    """
    with path.open("rb", buffering=0) as raw:
        total = os.fstat(raw.fileno()).st_size

        def report(position: int) -> None:
            on_progress(Progress(position, total))

        start = os.pread(raw.fileno(), buffer, 0)
        compressed = is_compressed(start)
        if not start:
            raise RefusedArtifact(path, "it is empty")
        if not compressed:
            _refuse_other(path, start)
        stream: Stream
        headers: HeaderReader | None = None
        try:
            with ExitStack() as stack:
                if compressed:
                    blocks = stack.enter_context(
                        closing(decompress(raw, start, ahead=buffer > HEADERS))
                    )
                    stream = DecompressedStream(_reported(blocks, raw, report))
                else:
                    counted = CountedFile(raw, report)
                    stream = PlainStream(io.BufferedReader(counted, buffer))
                headers = HeaderReader(stream)
                tar = tarfile.TarFile(
                    fileobj=cast(IO[bytes], headers), tarinfo=StrictHeader, encoding="utf-8"
                )
                content = min_content(start) if compressed else total
                yield OpenArchive(path, total, compressed, content, tar, headers)
        except DAMAGE as error:
            if headers is not None:
                _refuse_other(path, headers.first)
            raise RefusedArtifact(path, str(error), hint=part_hint(path)) from error
        except Exception as error:
            # Compared by name, because importing zstandard takes time that other tarballs need not.
            if type(error).__name__ == "ZstdError":
                raise RefusedArtifact(path, str(error)) from error
            raise


def _refuse_other(path: Path, start: bytes) -> None:
    """Refuse a file that is something else than a tarball, judged by its first bytes."""
    other = find_other(start)
    if other is not None:
        text = f"it is {other.name}, not a tar archive"
        raise RefusedArtifact(path, text, hint=part_hint(path) or fix_for(other, path))


def repository_of(parts: Parts) -> tuple[str, Parts] | None:
    """Return the ``models--org--name`` folder of a member and the rest of its name.

    Returns:
        None for a member outside such a folder.
    """
    for depth, part in enumerate(parts[:2]):
        if part.startswith(PREFIX):
            return part, parts[depth + 1 :]
        if part.startswith("."):
            break  # .locks contains folders with the same names
    return None
