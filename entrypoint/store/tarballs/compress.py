"""Compression in blocks that do not depend on each other.

Each block is a zstd frame, or a gzip member, of its own: both formats allow several in a file. So
blocks can be compressed at once, and the result is the same for any number of threads.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

from entrypoint.store.threads import in_order

Compression = Literal["none", "zstd", "gzip"]

SUFFIX: dict[Compression, str] = {"none": ".tar", "zstd": ".tar.zst", "gzip": ".tar.gz"}
BLOCK = 16 << 20
"""Bytes of a block: many times the window that a compressor looks back."""
ZSTD_LEVEL = 3
GZIP_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS


def compressed(
    pieces: Iterable[bytes | memoryview], compression: Compression, threads: int
) -> Iterator[bytes]:
    """Compress what comes in pieces.

    Args:
        pieces: The content. Each piece may be written over once the next is asked for.
        compression: ``zstd`` or ``gzip``.
        threads: How many blocks are compressed at once.

    Returns:
        Compressed blocks, in order.
    """
    compress = {"zstd": zstd_frame, "gzip": gzip_member}[compression]
    return in_order(compress, _blocks(pieces), threads)


def zstd_frame(block: bytes) -> bytes:
    """Compress a block to a zstd frame that carries its length and its checksum."""
    import zstandard

    result: bytes = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(block)
    return result


def gzip_member(block: bytes) -> bytes:
    """Compress a block to a gzip member, without name and time."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(block) + compressor.flush()


def _blocks(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Put pieces together to blocks of one size, the last one excepted."""
    block = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while view:
            count = min(len(view), BLOCK - len(block))
            block += view[:count]
            view = view[count:]
            if len(block) == BLOCK:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)
