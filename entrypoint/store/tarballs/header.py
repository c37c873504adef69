"""Reading the headers of a tar archive more strictly than tarfile does, and within limits."""

from __future__ import annotations

import re
import tarfile
from typing import cast

from entrypoint.store.tarballs.streams import Stream

METADATA = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
"""Members that tarfile reads completely into memory: long names and extended headers."""
MAX_METADATA = 1 << 20
MAX_HEADERS = 4 << 20
"""Bytes of all headers of one member. Those of a file with many holes are the longest."""
GNU_MAGIC = b"ustar  \0"
"""GNU tar writes this where others write ``ustar`` and a version."""
RECORD = re.compile(rb"(?P<length>[1-9][0-9]{0,9}) (?P<keyword>[^=]+)=")
NUMBERS = frozenset({b"size", b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.numblocks"})


class StrictHeader(tarfile.TarInfo):
    """A member's header that raises an error if it is damaged or absurd.

    tarfile itself treats a damaged or missing header as the end of the archive, so an incomplete
    model would look complete.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> StrictHeader:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the type stubs
            raise
        except tarfile.HeaderError as error:
            if len(buf) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it ends before its end mark: truncated") from error
            raise tarfile.ReadError(f"damaged or not a tar archive: {error}") from error
        if member.size < 0 or (member.type in METADATA and member.size > MAX_METADATA):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        if buf[257:265] == GNU_MAGIC:
            # GNU tar may write times where others write the first part of a long name.
            member.name = _text(buf[:100], encoding, errors)
            if member.isdir():
                member.name = member.name.rstrip("/")
        return member

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Read an extended header once its records are checked. tarfile skips damaged ones."""
        size = -(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        records = cast(HeaderReader, archive.fileobj).look_ahead(size)
        if len(records) < size or not _are_records(records, self.size):
            raise tarfile.ReadError("a damaged extended header")
        return super()._proc_pax(archive)  # type: ignore[misc,no-any-return]


class HeaderReader:
    """The file object that tarfile reads headers from, with a limit for each member.

    Attributes:
        first: The first bytes, which show what a file is that is not a tar archive.
    """

    def __init__(self, stream: Stream):
        self.stream = stream
        self.tell = stream.tell
        self.seek = stream.seek
        self.left = MAX_HEADERS
        self._ahead = b""
        self.first = b""

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        if self._ahead:
            assert count == len(self._ahead)
            ahead, self._ahead = self._ahead, b""
            return ahead
        self.left -= count
        if self.left < 0:
            raise tarfile.ReadError(f"a member whose headers have more than {MAX_HEADERS} bytes")
        content = self.stream.read(count)
        self.first = self.first or content
        return content

    def look_ahead(self, count: int) -> bytes:
        """Return what the next call of :meth:`read`, with the same count, returns."""
        self._ahead = self.read(count)
        return self._ahead


def _are_records(content: bytes, size: int) -> bool:
    """Whether an extended header consists only of ``LENGTH KEYWORD=VALUE`` lines."""
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
