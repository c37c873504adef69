"""The bytes of a tar archive in order, whether it is compressed or not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20


class CountedFile(io.RawIOBase):
    """A file that reports its position after each read."""

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


class PlainStream:
    """The tar stream of an uncompressed archive. Skipping bytes costs nothing."""

    def __init__(self, file: io.BufferedReader[CountedFile]):
        self._file = file
        self._buffer = memoryview(b"")
        self.tell = file.tell
        self.seek = file.seek
        self.read = file.read

    def take(self, count: int) -> memoryview:
        """Return the next bytes, up to ``count``, valid until the next call. Empty at the end."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(CHUNK))
        return self._buffer[: self._file.readinto(self._buffer[:count])]


class DecompressedStream:
    """The tar stream of a compressed archive. It only moves forward."""

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks = blocks
        self._left = memoryview(b"")
        self._position = 0

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def take(self, count: int) -> memoryview:
        """Return the next bytes, up to ``count``. Empty at the end."""
        if not self._left:
            self._left = memoryview(next(self._blocks, b""))
        taken, self._left = self._left[:count], self._left[count:]
        self._position += len(taken)
        return taken

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes, or fewer at the end."""
        parts = []
        while count and (part := self.take(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def seek(self, position: int) -> int:
        """Skip the bytes before ``position``."""
        while self._position < position and self.take(position - self._position):
            pass
        return self._position


Stream = PlainStream | DecompressedStream
