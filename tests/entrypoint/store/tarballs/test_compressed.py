"""Decompression returns the original content, and compares every checksum."""

from __future__ import annotations

import gzip
import io
import os
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoint.store.tarballs import compressed as compressed_module
from entrypoint.store.tarballs.compressed import (
    BLOCK,
    MAX_PARALLEL_FRAME,
    decompress,
    is_compressed,
    min_content,
)

NOISE = random.Random(1).randbytes(300_000)
SKIPPABLE = b"\x5e\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
DAMAGE = (zlib.error, EOFError, zstandard.ZstdError)


def frame(content: bytes, size: bool = True) -> bytes:
    """Return a zstd frame as the command writes it, with or without its size."""
    made = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=size)
    if size:
        return made.compress(content)
    streaming = made.compressobj()
    return streaming.compress(content) + streaming.flush()


def content_of(file: bytes, ahead: bool = True) -> bytes:
    blocks = decompress(io.BytesIO(file), file[:4], ahead=ahead)
    return b"".join(blocks)


each_way = pytest.mark.parametrize("ahead", [True, False])


@each_way
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(gzip.compress(NOISE), id="gzip"),
        pytest.param(gzip.compress(NOISE[:7]) + gzip.compress(NOISE[7:]), id="gzip members"),
        pytest.param(gzip.compress(NOISE) + b"\0" * 512, id="gzip padded"),
        pytest.param(frame(NOISE), id="zstd"),
        pytest.param(frame(NOISE, size=False), id="zstd of a pipe"),
        pytest.param(b"".join(frame(NOISE[i : i + 9000]) for i in range(0, 300_000, 9000)),
                     id="zstd frames"),
        pytest.param(SKIPPABLE + frame(NOISE[:9]) + SKIPPABLE + frame(NOISE[9:]) + SKIPPABLE,
                     id="zstd frames with others between"),
        pytest.param(frame(NOISE[:9]) + frame(NOISE[9:999], size=False) + frame(NOISE[999:]),
                     id="zstd frames of both kinds"),
        pytest.param(frame(b"") + frame(NOISE) + frame(b""), id="empty zstd frames"),
    ],
)  # fmt: skip
def test_decompressed_content_equals_the_original(file: bytes, ahead: bool) -> None:
    assert is_compressed(file[:4])
    assert content_of(file, ahead) == NOISE


@each_way
def test_blocks_are_small_however_much_they_hold(ahead: bool) -> None:
    """More than is decompressed whole is streamed as it comes."""
    zeros = b"\0" * (MAX_PARALLEL_FRAME + 5)
    for file in (gzip.compress(zeros), frame(zeros), frame(zeros, size=False)):
        blocks = [len(block) for block in decompress(io.BytesIO(file), file[:4], ahead=ahead)]
        assert max(blocks) <= BLOCK
        assert sum(blocks) == len(zeros)


@pytest.mark.parametrize("start", [b"", b"\x1f", b"model", b"\0" * 4, b"\x28\xb5\x2f"])
def test_anything_else_is_not_compressed(start: bytes) -> None:
    assert not is_compressed(start)


def test_only_a_single_zstd_frame_states_its_content() -> None:
    assert min_content(frame(NOISE)) == len(NOISE)
    assert min_content(frame(NOISE, size=False)) == 0
    assert min_content(gzip.compress(NOISE)) == 0
    assert min_content(SKIPPABLE + frame(NOISE)) == 0


FILES = {
    "gzip": gzip.compress(NOISE[:900]) + gzip.compress(NOISE[900:2000]),
    "zstd": frame(NOISE[:900]) + SKIPPABLE + frame(NOISE[900:2000]),
    "zstd of a pipe": frame(NOISE[:900], size=False) + frame(NOISE[900:2000], size=False),
}


@each_way
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_cut_short_is_an_error_wherever_it_is_cut(kind: str, ahead: bool) -> None:
    """Between two frames excepted, where it is another whole file."""
    whole = FILES[kind]
    seen = []
    for end in range(4, len(whole), 7):
        try:
            seen.append(content_of(whole[:end], ahead))
        except DAMAGE:
            continue
    assert set(seen) <= {NOISE[:900]}


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_an_error_or_changes_nothing(kind: str, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    file[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 255))
    if not is_compressed(bytes(file[:4])):
        return
    try:
        found = content_of(bytes(file))
    except DAMAGE:
        return
    # a frame that became one without content is passed over
    assert found in (NOISE[:2000], NOISE[:900], NOISE[900:2000])


@pytest.mark.parametrize("file", [gzip.compress(NOISE), frame(NOISE)])
def test_data_after_the_end_is_an_error(file: bytes) -> None:
    with pytest.raises(DAMAGE):
        content_of(file + b"something")


def test_frames_are_decompressed_in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    1. Two frames follow each other, each larger than one read.
    2. The first waits for the second to start.
    Result: both are read, so the second started before the first ended.
    """
    import threading

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    both = threading.Barrier(2, timeout=10)
    make = zstandard.ZstdDecompressor

    class Meeting:
        def __init__(self, **options: Any):
            self.made = make(**options)

        def decompress(self, content: bytes) -> bytes:
            both.wait()
            return bytes(self.made.decompress(content))

    monkeypatch.setattr(zstandard, "ZstdDecompressor", Meeting)
    assert content_of(frame(NOISE) + frame(NOISE)) == NOISE * 2


def test_a_reader_that_stops_early_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    before = threading.active_count()
    file = b"".join(frame(NOISE) for _ in range(20))
    blocks: Iterator[bytes] = decompress(io.BytesIO(file), file[:4], ahead=True)
    next(blocks)
    assert threading.active_count() > before
    blocks.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_window_that_would_fill_the_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    file = compressor.compress(NOISE) + compressor.flush()
    assert compressed_module.MAX_ZSTD_WINDOW < 1 << 30
    with pytest.raises(zstandard.ZstdError):
        content_of(file)
