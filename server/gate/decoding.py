"""Decodes compressed bodies piece by piece, without ever holding more than a small piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import zstandard
from starlette.datastructures import Headers

from server.gate.refusal import ErrorType, Reason, Refusal

PIECE_BYTES = 1 << 18
"""Maximum size of a decoded piece of gzip and deflate, which takes about a millisecond."""
ZSTD_INPUT_BYTES = 128
"""How much zstd gets at once. Its library does not limit its output: each four bytes can become a
block of 128 KiB."""
ZSTD_WINDOW_BYTES = 8 << 20
"""The memory that a zstd frame may require, as RFC 9659 limits it for HTTP."""
MAX_MEMBERS = 10_000
"""How many gzip members or zstd frames a body may have: each costs time, even an empty one."""
MAX_CODINGS = 3
"""How many codings may be applied one after the other."""


class UnsupportedCoding(Refusal):
    """The body has a content coding that the server does not decode."""

    def __init__(self, problem: str):
        super().__init__(
            415,
            ErrorType.INVALID_REQUEST,
            f"Content-Encoding: {problem}. Send the body with {SUPPORTED}, or without an encoding.",
            reason=Reason.ENCODING,
            headers={"accept-encoding": SUPPORTED},
            close=True,
        )


class DamagedBody(Refusal):
    """The body is not what its content coding states.

    Args:
        coding: The coding.
        problem: What is wrong.
    """

    def __init__(self, coding: str, problem: str):
        super().__init__(
            400,
            ErrorType.INVALID_REQUEST,
            f"The request's body is not valid {coding}: {problem}.",
            reason=Reason.ENCODING,
            close=True,
        )


class _Stream(Protocol):
    """A gzip member, a zlib stream, or a zstd frame."""

    @property
    def eof(self) -> bool: ...

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode data up to the stream's end."""

    def rest(self) -> bytes:
        """Return the data that follows the end."""


class _Zlib:
    def __init__(self, window_bits: int):
        self._stream = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        full = True
        while (data or full) and not self._stream.eof:
            piece = self._stream.decompress(data, PIECE_BYTES)
            data = self._stream.unconsumed_tail
            full = len(piece) == PIECE_BYTES
            yield piece

    def rest(self) -> bytes:
        return self._stream.unused_data


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        self._rest = b""

    @property
    def eof(self) -> bool:
        return self._stream.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_INPUT_BYTES):
            end = start + ZSTD_INPUT_BYTES
            yield self._stream.decompress(data[start:end])
            if self._stream.eof:
                self._rest = self._stream.unused_data + data[end:]
                return

    def rest(self) -> bytes:
        return self._rest


_STREAMS: dict[str, Callable[[], _Stream]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "zstd": _Zstd,
}
SUPPORTED = ", ".join(_STREAMS)
_ALIASES = {"x-gzip": "gzip"}


class Decoder:
    """Decodes one content coding.

    Args:
        coding: One of the supported codings.

    Attributes:
        decoded: How many bytes it has yielded.
    """

    def __init__(self, coding: str):
        self.coding = coding
        self.decoded = 0
        self._stream: _Stream | None = None
        self._members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the data decoded, in small pieces, some of them empty.

        Raises:
            DamagedBody: The data is not valid.
        """
        try:
            while data:
                if self._stream is None or self._stream.eof:
                    self._stream = self._next_stream()
                for piece in self._stream.pieces(data):
                    self.decoded += len(piece)
                    yield piece
                data = self._stream.rest() if self._stream.eof else b""
        except (zlib.error, zstandard.ZstdError) as error:
            raise DamagedBody(self.coding, str(error)) from None

    def finish(self) -> None:
        """Check that the data is complete. No data at all is, as an empty body.

        Raises:
            DamagedBody: Its end is missing.
        """
        if self._stream is not None and not self._stream.eof:
            raise DamagedBody(self.coding, "its end is missing")

    def _next_stream(self) -> _Stream:
        self._members += 1
        if self._members > 1 and self.coding == "deflate":
            raise DamagedBody(self.coding, "more data follows its end")
        if self._members > MAX_MEMBERS:
            raise DamagedBody(self.coding, f"it has more than {MAX_MEMBERS} members")
        return _STREAMS[self.coding]()


def decoders(headers: Headers) -> list[Decoder]:
    """Return what decodes a body, in the order in which to apply it.

    Raises:
        UnsupportedCoding: The server does not decode one of the codings.
    """
    listed = ",".join(headers.getlist("content-encoding")).split(",")
    codings = [name.strip().lower() for name in listed]
    codings = [_ALIASES.get(name, name) for name in codings if name not in ("", "identity")]
    for coding in codings:
        if coding not in _STREAMS:
            raise UnsupportedCoding(f"{coding[:40]} is not supported")
    if len(codings) > MAX_CODINGS:
        raise UnsupportedCoding(f"at most {MAX_CODINGS} are supported, not {len(codings)}")
    return [Decoder(coding) for coding in reversed(codings)]


def decode(chain: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    """Yield a part of a body, decoded, in small pieces, some of them empty.

    Args:
        chain: The decoders, in the order in which to apply them.
        data: The part.

    Raises:
        DamagedBody: The data is not valid.
    """
    if not chain:
        yield data
        return
    for piece in chain[0].decode(data):
        yield from decode(chain[1:], piece)
