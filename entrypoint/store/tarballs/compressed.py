"""The content of a compressed file, as a stream of blocks.

The first bytes show the compression, not the name: object stores hold compressed ``.tar`` files,
and uncompressed ``.tar.gz`` files. Every checksum of the format is compared. A file that is cut
short anywhere raises an error.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import IO, TYPE_CHECKING, Any

from entrypoint.store.threads import Threads, processors

if TYPE_CHECKING:
    from concurrent.futures import Future

Blocks = Generator[bytes, None, None]

BLOCK = 1 << 20
CUT = "it is truncated"
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
SKIPPABLE = 0x184D2A50
"""A zstd frame without content: the first of 16 such numbers, little-endian in the file."""
MAX_ZSTD_WINDOW = 1 << 27
"""The memory that decompression may take, which is the limit of the zstd command too. A window is
a few MiB unless the archive was packed with --long or --ultra."""
MAX_PARALLEL_FRAME = 16 << 20
"""Frames up to this size are decompressed in parallel."""
MAX_WORKERS = 4
"""More threads would wait for the one that writes."""
FRAME_HEADER = 18
"""Bytes of the longest header of a zstd frame."""
RUN_LENGTH = 1
"""The type, in a zstd block's header, of a block that is one repeated byte."""


def is_compressed(start: bytes) -> bool:
    """Whether a file that starts with these bytes, four or more, is compressed."""
    return start.startswith((GZIP, ZSTD)) or _is_skippable(start)


def decompress(file: IO[bytes], start: bytes, *, ahead: bool) -> Blocks:
    """Yield the content of a compressed file in blocks, none of them empty.

    Args:
        file: The file, at its start.
        start: Its first four bytes.
        ahead: Whether threads read and decompress the next blocks while the caller works on one.

    Raises:
        zlib.error, zstandard.ZstdError: The file is damaged.
        EOFError: The file is truncated.
    """
    workers = min(processors(), MAX_WORKERS) if ahead else 0
    stored = _stored(file)
    blocks = _content(_read_ahead(stored) if ahead else stored, start, workers)
    return _read_ahead(blocks) if ahead else blocks


def min_content(start: bytes) -> int:
    """Return how many bytes a compressed file holds at least, 0 if its start does not state it.

    The zstd command writes a single frame, which states it.
    """
    if not start.startswith(ZSTD):
        return 0
    import zstandard

    size: int = zstandard.get_frame_parameters(start[:FRAME_HEADER]).content_size
    return 0 if size == zstandard.CONTENTSIZE_UNKNOWN else size


def _is_skippable(start: bytes | bytearray) -> bool:
    return len(start) >= 4 and int.from_bytes(start[:4], "little") & ~0xF == SKIPPABLE


def _stored(file: IO[bytes]) -> Blocks:
    """Yield the file's own blocks."""
    while block := file.read(BLOCK):
        yield block


def _content(stored: Blocks, start: bytes, workers: int) -> Blocks:
    with closing(stored):
        if start.startswith(GZIP):
            yield from _gunzip(stored)
        else:
            yield from _unzstd(_Input(stored), workers)


def _gunzip(stored: Blocks) -> Blocks:
    """Yield the content of one gzip member after the other."""
    rest = next(stored, b"")
    while rest.rstrip(b"\0"):  # zeros are padding, from a tape or a block device
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        while not member.eof:
            if not rest:
                raise EOFError(CUT)
            if block := member.decompress(rest, BLOCK):
                yield block
            rest = member.unconsumed_tail or member.unused_data
            if not (rest or member.eof):
                rest = next(stored, b"")
        rest = rest or next(stored, b"")
    while rest:
        if rest.strip(b"\0"):
            raise zlib.error("data follows its end")
        rest = next(stored, b"")


class _Input:
    """A file whose next bytes can be inspected before they are taken."""

    def __init__(self, stored: Blocks):
        self._stored = stored
        self.waiting = bytearray()

    def fill(self, count: int) -> bool:
        """Read until ``count`` bytes are waiting. Return False if the file ends before."""
        while len(self.waiting) < count:
            block = next(self._stored, b"")
            if not block:
                return False
            self.waiting += block
        return True

    def need(self, count: int) -> None:
        """Read until ``count`` bytes are waiting.

        Raises:
            EOFError: The file ends before.
        """
        if not self.fill(count):
            raise EOFError(CUT)

    def take(self, count: int) -> bytearray:
        """Return the next bytes."""
        self.need(count)
        taken, self.waiting = self.waiting, self.waiting[count:]  # copies the shorter part
        del taken[count:]
        return taken


class _Frame:
    """A zstd frame, which is read up to its end and no further."""

    def __init__(self, source: _Input):
        import zstandard

        source.fill(FRAME_HEADER)
        start = bytes(source.waiting[:FRAME_HEADER])
        header = zstandard.get_frame_parameters(start)
        self.size: int | None = header.content_size
        if self.size == zstandard.CONTENTSIZE_UNKNOWN:
            self.size = None
        self._source = source
        self._checksum: int = 4 * header.has_checksum
        self._known: int = zstandard.frame_header_size(start)
        self._ended = False

    def read_all(self) -> bytearray:
        """Return the complete frame.

        Raises:
            EOFError: The file ends before.
        """
        while not self._ended:
            self._walk()
        return self._source.take(self._known)

    def read(self, count: int) -> bytearray:
        """Return its next bytes, up to ``count``, empty at its end.

        Raises:
            EOFError: The file ends within the frame, and all its bytes have been read.
        """
        with suppress(EOFError):
            while not self._ended and self._known < count:
                self._walk()
            self._source.need(min(count, self._known))
        taken = self._source.take(min(count, self._known, len(self._source.waiting)))
        self._known -= len(taken)
        if not taken and (self._known or not self._ended):
            raise EOFError(CUT)
        return taken

    def _walk(self) -> None:
        """Find the end of the next block."""
        self._source.need(self._known + 3)
        header = int.from_bytes(self._source.waiting[self._known : self._known + 3], "little")
        self._known += 3 + (1 if header >> 1 & 3 == RUN_LENGTH else header >> 3)
        if header & 1:
            self._known += self._checksum
            self._ended = True


def _unzstd(source: _Input, workers: int) -> Blocks:
    """Yield the content of one zstd frame after the other.

    Small frames that state their size are decompressed in parallel. Other frames are streamed, as
    are all frames without workers.
    """
    import zstandard

    own = threading.local()

    def decompress_frame(frame: bytearray) -> bytes:
        if not hasattr(own, "decompressor"):
            own.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
        content: bytes = own.decompressor.decompress(frame)
        return content

    waiting: deque[Future[bytes]] = deque()

    def finished(leave: int = 0) -> Iterator[bytes]:
        while len(waiting) > leave:
            if block := waiting.popleft().result():
                yield block

    with Threads(workers or 1) as threads:
        while source.fill(1):
            if _skip(source):
                continue
            frame = _Frame(source)
            if workers and frame.size is not None and frame.size <= MAX_PARALLEL_FRAME:
                waiting.append(threads.start(decompress_frame, frame.read_all()))
                yield from finished(leave=workers)
            else:
                yield from finished()
                yield from _streamed(frame)
        yield from finished()


def _skip(source: _Input) -> bool:
    """Skip a frame without content. Return False if the next frame has content."""
    source.fill(4)
    if not _is_skippable(source.waiting):
        return False
    source.need(8)
    left = 8 + int.from_bytes(source.waiting[4:8], "little")
    while left:
        left -= len(source.take(min(left, BLOCK)))
    return True


def _streamed(frame: _Frame) -> Iterator[bytes]:
    import zstandard

    decompressor: Any = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    reader = decompressor.stream_reader(frame, read_size=BLOCK)
    while block := reader.read(BLOCK):
        yield block


def _read_ahead(blocks: Blocks) -> Blocks:
    """Yield blocks while a thread reads the next ones, at most two."""
    with closing(blocks), Threads(1) as threads:
        waiting = deque(threads.start(next, blocks, b"") for _ in range(2))
        while block := waiting.popleft().result():
            waiting.append(threads.start(next, blocks, b""))
            yield block
