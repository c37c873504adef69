"""The inside of a tarball: its members one after the other, and which models they make up."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from entrypoint.errors import RefusedArtifact
from entrypoint.store.cache import MAX_REF_BYTES, PREFIX, Repository, repository_name
from entrypoint.store.directory import MODEL_MARKS
from entrypoint.store.integrity import INDEX_SUFFIXES, is_weight

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20
# Enough for a member's headers; after each of them the buffer is thrown away.
HEADERS = 1 << 12
GZIP = b"\x1f\x8b"
# A zstd frame, or the skippable frame that pzstd begins with.
ZSTD = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")
# Decompressing takes as much memory as the archive's window, a few MiB unless it was packed with
# --long or --ultra. This is the limit of the zstd command itself.
MAX_ZSTD_WINDOW = 1 << 27
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


@dataclass(frozen=True, slots=True)
class Contents:
    """What a tarball holds, as far as that can be known without reading it all.

    Attributes:
        repositories: ``{org/name: what is there of it}``, in the layout of the cache.
        sizes: ``{org/name: bytes}``; of a plain model under the name ``""``.
        plain: Whether it is a plain model directory.
        listed: Whether all of it was seen; else ``repositories`` is one name with nothing in it.
    """

    repositories: Mapping[str, Repository]
    sizes: Mapping[str, int]
    plain: bool
    listed: bool


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
        return member


class _Counted(io.RawIOBase):
    """A file that reports how far it has been read."""

    def __init__(self, file: IO[bytes], total: int, progress: Callable[[int, int], None]):
        self.file = file
        self.total = total
        self.progress = progress

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
        self.progress(self.file.tell(), self.total)
        return count


def _decompressed(file: io.BufferedReader[_Counted]) -> IO[bytes] | None:
    """The tar stream inside a compressed file, None if it is not compressed.

    By its first bytes, not its name: both ``.tar`` files that are gzipped and the other way round
    are found in object stores.
    """
    start = file.peek(4)[:4]
    if start.startswith(GZIP):
        import gzip

        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if start in ZSTD:
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
        return cast(
            IO[bytes],
            decompressor.stream_reader(file, read_size=CHUNK, read_across_frames=True),
        )
    return None


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """A tarball that is being read.

    Attributes:
        path: Where it is.
        compressed: Whether passing over a member costs as much as reading it.
    """

    path: Path
    compressed: bool
    _tar: tarfile.TarFile

    def members(self) -> Iterator[tuple[Parts, tarfile.TarInfo]]:
        """Each member with the parts of its name, once, in order.

        Raises:
            RefusedArtifact: A name leaves the archive's folder, or there are too many.
        """
        for _ in range(MAX_MEMBERS):
            member = self._tar.next()
            if member is None:
                return
            self._tar.members.clear()  # type: ignore[attr-defined]  # else it keeps each one
            if member.size < 0:
                raise RefusedArtifact(self.path, f"{member.name!r} has {member.size} bytes")
            yield split_name(self.path, member.name), member
        raise RefusedArtifact(self.path, f"it has more than {MAX_MEMBERS} members")

    def content(self, member: tarfile.TarInfo) -> IO[bytes]:
        """The content of a regular file. Read it before asking for the next member."""
        return cast(IO[bytes], self._tar.extractfile(member))

    def finish(self) -> None:
        """Read what follows the last member, which has a decompressor compare its checksum.

        Raises:
            RefusedArtifact: There is more than zeros, so the end mark was not the end.
        """
        rest = cast(IO[bytes], self._tar.fileobj)
        while chunk := rest.read(CHUNK):
            if chunk.strip(b"\0"):
                raise RefusedArtifact(self.path, "there is more after its end mark")


def split_name(archive: Path, name: str) -> Parts:
    """The parts of a member's name, without ``.``.

    Raises:
        RefusedArtifact: The name is absolute or has ``..`` in it.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise RefusedArtifact(archive, f"the name {name!r} leads out of the archive")
    return parts


@contextmanager
def open_archive(
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    buffer: int = CHUNK,
) -> Iterator[OpenArchive]:
    """Open a ``.tar``, ``.tar.gz`` or ``.tar.zst`` to read its members in order.

    Args:
        path: The archive.
        progress: Called with the bytes of the archive read, and their total.
        buffer: Bytes that are read at once; :data:`HEADERS` where contents are passed over.

    Raises:
        RefusedArtifact: It is damaged, cut short, or no tarball; also from the body.
        OSError: It cannot be read.
    """
    with path.open("rb", buffering=0) as raw:
        total = os.fstat(raw.fileno()).st_size
        file = io.BufferedReader(_Counted(cast(IO[bytes], raw), total, progress), buffer)
        try:
            inner = _decompressed(file)
            # As a stream, tarfile never steps back, which a decompressor could not.
            with tarfile.open(
                fileobj=inner or file,
                mode="r|" if inner else "r:",
                bufsize=CHUNK,
                tarinfo=_StrictHeader,
            ) as tar:
                yield OpenArchive(path, inner is not None, tar)
        except DAMAGE as error:
            raise RefusedArtifact(path, str(error)) from error
        except Exception as error:
            # By name, so that a plain tarball costs neither import.
            if type(error).__name__ in ("BadGzipFile", "ZstdError"):
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


def _first_of(archive: OpenArchive) -> Contents:
    passed = 0
    for parts, member in archive.members():
        if repository := repository_of(parts):
            name = repository_name(repository[0])
            nothing_known = Repository(name, archive.path, (), {})
            return Contents({name: nothing_known}, {}, plain=False, listed=False)
        if member.isreg() and _tells_plain(parts):
            return Contents({}, {}, plain=True, listed=False)
        passed += member.size
        if passed > MAX_PEEK:
            break
    return Contents({}, {}, plain=False, listed=False)


def _all_of(archive: OpenArchive) -> Contents:
    commits: dict[str, list[str]] = {}
    refs: dict[str, dict[str, str]] = {}
    sizes: dict[str, int] = {}
    plain = False
    for parts, member in archive.members():
        inside = repository_of(parts)
        name = repository_name(inside[0]) if inside else ""
        sizes[name] = sizes.get(name, 0) + member.size
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
    return Contents(repositories, sizes, plain and not repositories, listed=True)
