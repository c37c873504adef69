"""Compression in blocks: read by the tools, the same for any number of threads."""

from __future__ import annotations

import random
import subprocess

import pytest

from entrypoint.store.tarballs import compress
from entrypoint.store.tarballs.compress import Compression, compressed

CONTENT = random.Random(4).randbytes(150_000) + bytes(150_000)
TOOL: dict[Compression, list[str]] = {"zstd": ["zstd", "-dc"], "gzip": ["gzip", "-dc"]}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "BLOCK", 1 << 16)


def pieces(size: int) -> list[memoryview]:
    return [memoryview(CONTENT)[start : start + size] for start in range(0, len(CONTENT), size)]


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
class TestCompressed:
    def test_other_programs_decompress_it(self, compression: Compression) -> None:
        packed = b"".join(compressed(pieces(7000), compression, 2))
        read = subprocess.run(TOOL[compression], input=packed, capture_output=True, check=True)
        assert read.stdout == CONTENT

    def test_threads_and_pieces_do_not_change_the_result(self, compression: Compression) -> None:
        packed = {
            b"".join(compressed(pieces(size), compression, threads))
            for size, threads in [(1000, 1), (7000, 2), (300_000, 5)]
        }
        assert len(packed) == 1

    def test_a_piece_may_be_overwritten_after_the_next(self, compression: Compression) -> None:
        buffer = bytearray(5000)

        def reused() -> object:
            for start in range(0, len(CONTENT), 5000):
                buffer[:] = CONTENT[start : start + 5000]
                yield memoryview(buffer)

        once = list(compressed(reused(), compression, 3))  # type: ignore[arg-type]
        assert once == list(compressed([CONTENT], compression, 3))

    def test_an_error_of_the_source_comes_through(self, compression: Compression) -> None:
        def broken() -> object:
            yield CONTENT
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            list(compressed(broken(), compression, 2))  # type: ignore[arg-type]


def test_a_flipped_bit_in_a_frame_is_seen() -> None:
    packed = bytearray(b"".join(compressed([CONTENT], "zstd", 1)))
    packed[1000] ^= 1
    done = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=False)
    assert done.returncode != 0
