"""The inside of a tarball: its members one after the other, and which models they make up."""

from __future__ import annotations

import io
import os
import re
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.cache import MAX_REF_BYTES, PREFIX, Repository, repository_name
from entrypoint.store.disk.directory import MODEL_MARKS
from entrypoint.store.disk.integrity import INDEX_SUFFIXES, is_weight
from entrypoint.store.progress import OnProgress, Progress, ignore_progress
from entrypoint.store.tarballs.catalogue import Contents
from entrypoint.store.tarballs.compressed import decompress, is_compressed, least_content

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20
# Enough for a member's headers; after each of them the buffer is thrown away.
HEADERS = 1 << 12
# More members than any model has files, and few enough to keep all their names in memory.
MAX_MEMBERS = 100_000
# tarfile reads such a member into memory whole: long names and extended headers, all small.
METADATA = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
MAX_METADATA = 1 << 20
# Of all headers of one member together: of a file with very many holes they are the longest.
MAX_HEADERS = 4 << 20
# A name for the whole archive, which `tar --label` writes where a member would be.
VOLUME_LABEL = b"V"
# What GNU tar writes where others write "ustar" and a version.
GNU_MAGIC = b"ustar  \0"
# What an extended header for all members must not say.
TELLING = frozenset({"path", "linkpath", "size"})
RECORD = re.compile(rb"(?P<length>[1-9][0-9]{0,9}) (?P<keyword>[^=]+)=")
NUMBERS = frozenset({b"size", b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.numblocks"})
# How far into a compressed archive the search for the first telling member goes.
MAX_PEEK = 64 << 20

# What tarfile, gzip and int() make of damaged input. The recursion is a header that announces the
# next, which announces the next.
DAMAGE = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    ValueError,
    OverflowError,
    RecursionError,
)

Parts = tuple[str, ...]


class _StrictHeader(tarfile.TarInfo):
    """A member whose header is damaged or absurd is an error.

    tarfile itself takes a damaged header, or none at all, for the end of the archive, so that half
    a model would pass for a whole one.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictHeader:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the type stubs
            raise
        except tarfile.HeaderError as error:
            if len(buf) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it ends before its end mark, cut short") from error
            raise tarfile.ReadError(f"damaged or not a tar archive: {error}") from error
        if member.size < 0 or (member.type in METADATA and member.size > MAX_METADATA):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        if buf[257:265] == GNU_MAGIC:
            # where the others have the first part of a long name, it may have times
            member.name = _text(buf[:100], encoding, errors)
            if member.isdir():
                member.name = member.name.rstrip("/")
        return member

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Read an extended header, once all of it is known to be one; tarfile skips what is not."""
        size = -(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        records = cast(_Headers, archive.fileobj).look(size)
        if len(records) < size or not _are_records(records, self.size):
            raise tarfile.ReadError("a damaged extended header")
        return super()._proc_pax(archive)  # type: ignore[misc,no-any-return]


def _are_records(content: bytes, size: int) -> bool:
    """Whether an extended header is nothing but ``LENGTH KEYWORD=VALUE`` lines."""
    place = 0
    while place < size:
        match = RECORD.match(content, place)
        if match is None:
            return False
        end = place + int(match["length"])
        value = content[match.end() : end - 1]
        number = match["keyword"] in NUMBERS
        if end > size or end <= match.end() or content[end - 1 : end] != b"\n":
            return False
        if number and not value.isdigit():
            return False
        place = end
    return not content[size:].strip(b"\0")


def _text(field: bytes | bytearray, encoding: str, errors: str) -> str:
    return bytes(field).partition(b"\0")[0].decode(encoding, errors)


class _Counted(io.RawIOBase):
    """A file that reports how far it has been read."""

    def __init__(self, file: IO[bytes], report: Callable[[int], None]):
        self.file = file
        self.report = report

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = cast(io.RawIOBase, self.file).readinto(buffer) or 0
        self.report(self.file.tell())
        return count


class _Plain:
    """The tar stream of an archive that is not compressed: what is passed over costs nothing."""

    def __init__(self, file: io.BufferedReader[_Counted]):
        self._file = file
        self._buffer = memoryview(b"")
        self.tell = file.tell
        self.seek = file.seek
        self.read = file.read

    def take(self, count: int) -> memoryview:
        """The next bytes, up to ``count``, until the next call; none at the end."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(CHUNK))
        return self._buffer[: self._file.readinto(self._buffer[:count])]


class _Decompressed:
    """The tar stream of a compressed archive, which is never stepped back in."""

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks = blocks
        self._left = memoryview(b"")
        self._position = 0

    def tell(self) -> int:
        """Where it is."""
        return self._position

    def take(self, count: int) -> memoryview:
        """The next bytes, up to ``count``; none at the end."""
        if not self._left:
            self._left = memoryview(next(self._blocks, b""))
        taken, self._left = self._left[:count], self._left[count:]
        self._position += len(taken)
        return taken

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes, or as many as there are."""
        parts = []
        while count and (part := self.take(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def seek(self, position: int) -> int:
        """Pass over what is before ``position``."""
        while self._position < position and self.take(position - self._position):
            pass
        return self._position


class _Headers:
    """What tarfile reads from: it counts, so that no header makes it read without end."""

    def __init__(self, stream: _Plain | _Decompressed):
        self.stream = stream
        self.tell = stream.tell
        self.seek = stream.seek
        self.left = MAX_HEADERS
        self._ahead = b""

    def read(self, count: int) -> bytes:
        """The next bytes."""
        if self._ahead:
            assert count == len(self._ahead)
            ahead, self._ahead = self._ahead, b""
            return ahead
        self.left -= count
        if self.left < 0:
            raise tarfile.ReadError(f"a member whose headers have more than {MAX_HEADERS} bytes")
        return self.stream.read(count)

    def look(self, count: int) -> bytes:
        """What the next call of :meth:`read`, with the same count, returns."""
        self._ahead = self.read(count)
        return self._ahead


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """A tarball that is being read.

    Attributes:
        path: Where it is.
        size: Its length in bytes.
        compressed: Whether passing over a member costs as much as reading it.
        least_content: At least how many bytes it holds; 0 where that is not said at its start.
    """

    path: Path
    size: int
    compressed: bool
    least_content: int
    _tar: tarfile.TarFile
    _headers: _Headers

    def members(self) -> Iterator[tuple[Parts, tarfile.TarInfo]]:
        """Each member with the parts of its name, once, in order.

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
            self._tar.members.clear()  # type: ignore[attr-defined]  # else it keeps each one
            if member.type == VOLUME_LABEL:
                continue
            self._settle(member)
            yield split_name(self.path, member.name), member
        raise RefusedArtifact(self.path, f"it has more than {MAX_MEMBERS} members")

    def content(self, member: tarfile.TarInfo) -> IO[bytes]:
        """The content of a regular file. Read it before asking for the next member."""
        return cast(IO[bytes], self._tar.extractfile(member))

    def blocks(self, member: tarfile.TarInfo) -> Iterator[tuple[int, memoryview]]:
        """The content of a regular file in blocks, each with its offset in the file.

        What lies between them, in a file with holes, is zeros. A block is only valid until the
        next. Read them before asking for the next member.
        """
        stream = self._headers.stream
        stream.seek(member.offset_data)
        for offset, size in _pieces(member):
            end = offset + size
            while offset < end:
                block = stream.take(min(end - offset, CHUNK))
                if not block:
                    text = f"it ends within {member.name!r}, cut short"
                    raise RefusedArtifact(self.path, text, member=member.name)
                yield offset, block
                offset += len(block)

    def finish(self) -> None:
        """Read what follows the last member, which has a decompressor compare its checksum.

        Raises:
            RefusedArtifact: There is more than zeros, so the end mark was not the end.
        """
        while chunk := self._headers.stream.take(CHUNK):
            if any(chunk):
                raise RefusedArtifact(self.path, "there is more after its end mark")

    def _settle(self, member: tarfile.TarInfo) -> None:
        """Refuse a header that cannot be right; mend what tarfile makes of one that is."""

        def refuse(problem: str) -> RefusedArtifact:
            text = f"the member {member.name!r} {problem}"
            return RefusedArtifact(self.path, text, member=member.name)

        if self._tar.pax_headers.keys() & TELLING or any(
            keyword.startswith("GNU.sparse") for keyword in self._tar.pax_headers
        ):
            raise refuse("follows a header that gives all members one name or size")
        if member.size < 0 or (member.size and not member.isreg()):
            raise refuse(f"has {member.size} bytes")
        if member.isreg() and member.name.endswith("/"):
            raise refuse("has the name of a folder, and is a file")
        if not member.issparse():
            return
        # GNU tar's own fields count, and of two that say the same tarfile takes the one that comes
        # last: with them a stand-in for the name, and the size of what is stored
        for keyword, value in member.pax_headers.items():
            if keyword == "GNU.sparse.name":
                member.name = value
            elif keyword in ("GNU.sparse.size", "GNU.sparse.realsize"):
                member.size = int(value)
        end = 0
        for offset, size in _pieces(member):
            if offset < end or size < 0:
                raise refuse("has a map of its holes that cannot be")
            end = offset + size
        if end > member.size:
            raise refuse("has a map of its holes that cannot be")
        stored = sum(size for _, size in _pieces(member))
        following = member.offset_data + -(-stored // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if "size" in member.pax_headers:
            # of what is stored, where that is over 8 GB: tarfile takes the file's size for it
            self._tar.offset = following
        elif self._tar.offset != following:
            raise refuse("has a map of its holes that cannot be")


def _pieces(member: tarfile.TarInfo) -> list[tuple[int, int]]:
    """``(offset in the file, length)`` of what is stored of a file, in order."""
    if not member.issparse():
        return [(0, member.size)]
    pieces = cast("list[tuple[int, int]]", member.sparse)
    return [piece for piece in pieces if piece[1]]


def split_name(archive: Path, name: str) -> Parts:
    """The parts of a member's name, without ``.``.

    Raises:
        RefusedArtifact: The name is absolute or has ``..`` in it.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        text = f"the name {name!r} leads out of the archive"
        raise RefusedArtifact(archive, text, member=name)
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
        buffer: Bytes that are read at once; :data:`HEADERS` where contents are passed over, and
            then nothing is decompressed ahead.

    Raises:
        RefusedArtifact: It is damaged, cut short, or no tarball; also from the body.
        OSError: It cannot be read.
    """
    with path.open("rb", buffering=0) as raw:
        total = os.fstat(raw.fileno()).st_size

        def report(position: int) -> None:
            on_progress(Progress(position, total))

        start = os.pread(raw.fileno(), buffer, 0)
        compressed = is_compressed(start)
        stream: _Plain | _Decompressed
        try:
            with ExitStack() as stack:
                if compressed:
                    blocks = stack.enter_context(
                        closing(decompress(raw, start, ahead=buffer > HEADERS))
                    )
                    stream = _Decompressed(_reported(blocks, raw, report))
                else:
                    counted = _Counted(raw, report)
                    stream = _Plain(io.BufferedReader(counted, buffer))
                headers = _Headers(stream)
                tar = tarfile.TarFile(
                    fileobj=cast(IO[bytes], headers), tarinfo=_StrictHeader, encoding="utf-8"
                )
                least = least_content(start) if compressed else total
                yield OpenArchive(path, total, compressed, least, tar, headers)
        except DAMAGE as error:
            raise RefusedArtifact(path, str(error)) from error
        except Exception as error:
            # by name, so that another tarball does not cost its import
            if type(error).__name__ == "ZstdError":
                raise RefusedArtifact(path, str(error)) from error
            raise


def repository_of(parts: Parts) -> tuple[str, Parts] | None:
    """The ``models--org--name`` folder that a member belongs to, and the rest of its name."""
    for depth, part in enumerate(parts[:2]):
        if part.startswith(PREFIX):
            return part, parts[depth + 1 :]
        if part.startswith("."):
            break  # .locks holds folders of the same names
    return None


def _tells_plain(parts: Parts) -> bool:
    """Whether a file of this name is only found in a model directory, not beside a cache's."""
    if len(parts) not in (1, 2):
        return False
    name = parts[-1]
    return name in MODEL_MARKS or is_weight(name) or name.endswith(INDEX_SUFFIXES)


def peek(path: Path) -> Contents:
    """Find out what a tarball holds, in little time.

    All headers of an uncompressed one are read. A compressed one is read up to the first member
    that tells, which is the first in every layout that is known.

    Raises:
        RefusedArtifact: It is damaged, cut short, or no tarball.
        OSError: It cannot be read.
    """
    with open_archive(path, buffer=HEADERS) as archive:
        return _first_of(archive) if archive.compressed else _all_of(archive)


def survey(path: Path, on_progress: OnProgress) -> Contents:
    """Find out all that a tarball holds, reading a compressed one to its end.

    Args:
        path: The archive.
        on_progress: Called with each change of the archive's bytes read.

    Raises:
        RefusedArtifact: It is damaged, cut short, or no tarball.
        OSError: It cannot be read.
    """
    with open_archive(path, on_progress) as archive:
        contents = _all_of(archive)
        archive.finish()
        return contents


def _first_of(archive: OpenArchive) -> Contents:
    passed = 0
    for parts, member in archive.members():
        if repository := repository_of(parts):
            name = repository_name(repository[0])
            nothing_known = Repository(name, archive.path, (), {})
            return Contents({name: nothing_known}, {}, {}, False, listed=False, compressed=True)
        if member.isreg() and _tells_plain(parts):
            return Contents({}, {}, {}, plain=True, listed=False, compressed=True)
        passed += member.size
        if passed > MAX_PEEK:
            break
    return Contents({}, {}, {}, plain=False, listed=False, compressed=True)


def _all_of(archive: OpenArchive) -> Contents:
    commits: dict[str, list[str]] = {}
    refs: dict[str, dict[str, str]] = {}
    sizes: dict[str, int] = {}
    formats: dict[str, dict[str, None]] = {}
    plain = False
    for parts, member in archive.members():
        inside = repository_of(parts)
        name = repository_name(inside[0]) if inside else ""
        sizes[name] = sizes.get(name, 0) + member.size
        rest = inside[1] if inside else parts
        if rest and is_weight(rest[-1]) and (len(rest) == 3 if inside else len(rest) <= 2):
            formats.setdefault(name, {})[rest[-1].rpartition(".")[2]] = None
        if inside is None:
            plain = plain or (member.isreg() and _tells_plain(parts))
            continue
        commits.setdefault(name, [])
        refs.setdefault(name, {})
        match inside[1]:
            case ("snapshots", commit, *_) if commit not in commits[name]:
                commits[name].append(commit)
            case ("refs", *ref) if ref and member.isreg():
                content = archive.content(member).read(MAX_REF_BYTES)
                refs[name]["/".join(ref)] = content.decode(errors="replace").strip()
    repositories = {
        name: Repository(name, archive.path, tuple(sorted(found)), refs[name])
        for name, found in commits.items()
    }
    return Contents(
        repositories,
        sizes,
        {name: tuple(sorted(found)) for name, found in formats.items()},
        plain and not repositories,
        listed=True,
        compressed=archive.compressed,
    )
