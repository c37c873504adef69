"""Compressed bodies: what is decoded, in which pieces, and what is refused."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
import zstandard
from starlette.datastructures import Headers

from server.gate.decoding import (
    MAX_CODINGS,
    MAX_MEMBERS,
    PIECE_BYTES,
    ZSTD_INPUT_BYTES,
    DamagedBody,
    UnsupportedCoding,
    decode,
    decoders,
)

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
TEXT = b'{"prompt": "' + b"a few words, " * 5000 + b'"}'
NOISE = random.Random(1).randbytes(300_000)
LARGEST_ZSTD_PIECE = ZSTD_INPUT_BYTES // 4 * zstandard.BLOCKSIZE_MAX


def named(*values: str) -> Headers:
    return Headers(raw=[(b"content-encoding", value.encode()) for value in values])


def decoded(coding: str, *parts: bytes) -> bytes:
    chain = decoders(named(coding))
    body = b"".join(piece for part in parts for piece in decode(chain, part))
    for each in chain:
        each.finish()
    return body


def cut(data: bytes, *at: int) -> list[bytes]:
    return [data[start:end] for start, end in pairwise((0, *at, len(data)))]


class TestCodings:
    @pytest.mark.parametrize("content", [b"", b"{}", TEXT, NOISE, bytes(3 << 20)], ids=len)
    @pytest.mark.parametrize("coding", ENCODERS)
    def test_a_body_is_decoded(self, coding: str, content: bytes) -> None:
        assert decoded(coding, ENCODERS[coding](content)) == content

    @pytest.mark.parametrize("coding", ENCODERS)
    def test_a_body_may_be_cut_anywhere(self, coding: str) -> None:
        data = ENCODERS[coding](b"some words")
        for at in range(len(data) + 1):
            assert decoded(coding, *cut(data, at)) == b"some words"
        assert decoded(coding, *(bytes([each]) for each in data)) == b"some words"

    @pytest.mark.parametrize("coding", [*ENCODERS, "identity"])
    def test_no_data_is_an_empty_body(self, coding: str) -> None:
        assert decoded(coding) == decoded(coding, b"", b"") == b""

    @pytest.mark.parametrize(
        ("values", "codings"),
        [
            ((), []),
            (("",), []),
            (("identity",), []),
            (("gzip",), ["gzip"]),
            (("GZip",), ["gzip"]),
            (("x-gzip",), ["gzip"]),
            ((" zstd ",), ["zstd"]),
            (("deflate, gzip",), ["gzip", "deflate"]),
            (("deflate", "gzip"), ["gzip", "deflate"]),
            (("identity,,zstd",), ["zstd"]),
        ],
    )
    def test_codings_are_undone_from_the_last(
        self, values: tuple[str, ...], codings: list[str]
    ) -> None:
        assert [each.coding for each in decoders(named(*values))] == codings

    def test_a_list_of_codings_is_decoded(self) -> None:
        data = gzip.compress(zstandard.compress(zlib.compress(TEXT)))
        assert decoded("deflate, zstd, gzip", *cut(data, 7, 20)) == TEXT

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    @pytest.mark.parametrize("contents", [(b"one", b"two"), (b"", b"x"), (TEXT, b"", NOISE)])
    def test_concatenated_members_are_one_body(
        self, coding: str, contents: tuple[bytes, ...]
    ) -> None:
        data = b"".join(map(ENCODERS[coding], contents))
        assert decoded(coding, data) == b"".join(contents)
        assert decoded(coding, *cut(data, 1, len(data) // 2)) == b"".join(contents)

    def test_a_skippable_frame_is_skipped(self) -> None:
        frame = bytes.fromhex("502a4d18 04000000 61626364")
        assert decoded("zstd", frame + zstandard.compress(b"x")) == b"x"


class TestRefusals:
    @pytest.mark.parametrize(
        "value",
        ["br", "BR", "compress", "gzip, br", "br, gzip", "gzip;q=1", "*", "utf-8", "x" * 5000],
    )
    def test_an_unknown_coding_names_the_known_ones(self, value: str) -> None:
        with pytest.raises(UnsupportedCoding) as refused:
            decoders(named(value))
        assert refused.value.status == 415
        assert refused.value.headers["accept-encoding"] == "gzip, deflate, zstd"
        assert "gzip, deflate, zstd" in refused.value.message
        assert len(refused.value.message) < 300

    def test_too_many_codings_are_refused(self) -> None:
        assert len(decoders(named(", ".join(["gzip"] * MAX_CODINGS)))) == MAX_CODINGS
        with pytest.raises(UnsupportedCoding, match="at most"):
            decoders(named(", ".join(["gzip"] * (MAX_CODINGS + 1))))

    @pytest.mark.parametrize("coding", ENCODERS)
    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[:-1],
            lambda data: data[:5],
            lambda data: data[:1],
            lambda data: b"{}" + data,
            lambda data: data + b"{}",
            lambda data: data + b"\0",
            lambda data: TEXT,
            lambda data: data[:30] + b"\xff\0\xff\0\xff" + data[35:],
        ],
        ids=["cut", "head", "byte", "before", "after", "padded", "plain", "changed"],
    )
    def test_damaged_data_is_refused(self, coding: str, damage: Callable[[bytes], bytes]) -> None:
        data = damage(ENCODERS[coding](NOISE))
        with pytest.raises(DamagedBody) as refused:
            decoded(coding, data)
        assert refused.value.status == 400
        assert coding in refused.value.message
        with pytest.raises(DamagedBody):
            decoded(coding, *(data[at : at + 1000] for at in range(0, len(data), 1000)))

    def test_a_second_zlib_stream_is_refused(self) -> None:
        with pytest.raises(DamagedBody, match="more data"):
            decoded("deflate", zlib.compress(b"one") + zlib.compress(b"two"))

    def test_one_coding_is_not_decoded_as_another(self) -> None:
        for sent in ENCODERS:
            for stated in set(ENCODERS) - {sent}:
                with pytest.raises(DamagedBody):
                    decoded(stated, ENCODERS[sent](TEXT))

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    def test_a_flood_of_empty_members_is_refused(self, coding: str) -> None:
        with pytest.raises(DamagedBody, match="members"):
            decoded(coding, ENCODERS[coding](b"") * (MAX_MEMBERS + 1))

    def test_a_zstd_frame_that_requires_much_memory_is_refused(self) -> None:
        def compressed(window_log: int) -> bytes:
            settings = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
            stream = zstandard.ZstdCompressor(compression_params=settings).compressobj()
            return stream.compress(b"x" * 1000) + stream.flush()

        assert decoded("zstd", compressed(23)) == b"x" * 1000  # 8 MiB
        with pytest.raises(DamagedBody, match="memory"):
            decoded("zstd", compressed(27))


@pytest.mark.parametrize(
    ("coding", "most"),
    [("gzip", PIECE_BYTES), ("deflate", PIECE_BYTES), ("zstd", LARGEST_ZSTD_PIECE)],
)
def test_a_bomb_is_decoded_in_small_pieces(coding: str, most: int) -> None:
    size = 64 << 20
    bomb = ENCODERS[coding](bytes(size))
    assert len(bomb) < size // 900
    pieces = [len(piece) for piece in decode(decoders(named(coding)), bomb)]
    assert sum(pieces) == size
    assert max(pieces) <= most
