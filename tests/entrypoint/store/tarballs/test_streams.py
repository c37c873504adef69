"""A tar stream reads the same bytes whether the archive is compressed or not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.store.tarballs.streams import (
    CountedFile,
    DecompressedStream,
    PlainStream,
    Stream,
)

CONTENT = bytes(range(200))


@pytest.fixture(params=["plain", "decompressed"])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stream]:
    if request.param == "decompressed":
        yield DecompressedStream(CONTENT[n : n + 7] for n in range(0, len(CONTENT), 7))
        return
    (tmp_path / "a").write_bytes(CONTENT)
    with (tmp_path / "a").open("rb", buffering=0) as file:
        yield PlainStream(io.BufferedReader(CountedFile(file, lambda position: None), 16))


def test_reads_across_blocks_return_all_bytes(stream: Stream) -> None:
    assert stream.read(50) == CONTENT[:50]
    assert stream.tell() == 50
    assert stream.read(500) == CONTENT[50:]
    assert stream.read(1) == b""


def test_a_take_returns_some_bytes_and_none_at_the_end(stream: Stream) -> None:
    taken = b""
    while block := bytes(stream.take(30)):
        assert len(block) <= 30
        taken += block
    assert taken == CONTENT


def test_a_seek_skips_bytes(stream: Stream) -> None:
    stream.read(3)
    stream.seek(150)
    assert stream.tell() == 150
    assert stream.read(2) == CONTENT[150:152]


def test_a_counted_file_reports_its_position_after_each_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    positions: list[int] = []
    with (tmp_path / "a").open("rb", buffering=0) as file:
        counted = CountedFile(file, positions.append)
        while counted.read(90):
            pass
    assert positions == [90, 180, 200, 200]
