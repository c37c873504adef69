"""Compression in independent blocks.

Each block is a separate zstd frame or gzip member. Both formats allow several in a file. So blocks
are compressed in parallel, and the result is the same for any number of threads.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

from entrypoint.store.threads import in_order

Compression = Literal["none", "zstd", "gzip"]

SUFFIX: dict[Compression, str] = {"none": ".tar", "zstd": ".tar.zst", "gzip": ".tar.gz"}
BLOCK = 16 << 20
"""Bytes of a block, many times the window of a compressor."""
ZSTD_LEVEL = 3
GZIP_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS


def compressed(
    pieces: Iterable[bytes | memoryview], compression: Compression, threads: int
) -> Iterator[bytes]:
    """Return the compressed blocks of a content, in order.

    Args:
        pieces: The content. A piece may become invalid when the next one is taken.
        compression: ``zstd`` or ``gzip``.
        threads: How many blocks to compress in parallel.
    """
    compress = {"zstd": zstd_frame, "gzip": gzip_member}[compression]
    return in_order(compress, _blocks(pieces), threads)


def zstd_frame(block: bytes) -> bytes:
    """Return a block as a zstd frame with its length and its checksum."""
    import zstandard

    result: bytes = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(block)
    return result


def gzip_member(block: bytes) -> bytes:
    """Return a block as a gzip member, without name and time."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(block) + compressor.flush()


def _blocks(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the content in blocks of one size, except for the last one."""
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
