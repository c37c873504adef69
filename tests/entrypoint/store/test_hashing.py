"""Hashing what is written: the right digits, however it is written, and every mistake found."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact
from entrypoint.store.digest import Hasher
from entrypoint.store.hashing import Hashing

CONTENT = random.Random(1).randbytes(5_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


def write(hashing: Hashing, path: Path, content: bytes, step: int) -> None:
    with path.open("xb", buffering=0) as file:
        growing = hashing.follow(path, f"blobs/{path.name}", Hasher(len(content), git=True))
        for place in range(0, len(content), step):
            file.write(content[place : place + step])
            growing.wrote(min(place + step, len(content)))
    growing.close()


@pytest.mark.parametrize("blob", [SHA256, GIT])
@pytest.mark.parametrize("step", [1000, 1 << 20, 5_000_000])
def test_the_hashes_of_what_was_written(tmp_path: Path, blob: str, step: int) -> None:
    with Hashing(tmp_path / "a.tar") as hashing:
        write(hashing, tmp_path / blob, CONTENT, step)
        hashing.check(wait=True)
    found = hashing.found[tmp_path / blob]
    assert (found.sha256, found.git) == (SHA256, GIT)


def test_many_files_more_than_threads(tmp_path: Path) -> None:
    with Hashing(tmp_path / "a.tar") as hashing:
        for number in range(50):
            content = b"%d" % number
            write(hashing, tmp_path / hashlib.sha256(content).hexdigest(), content, 1)
        hashing.check(wait=True)
    assert len(hashing.found) == 50


@pytest.mark.parametrize("blob", [SHA256, GIT])
def test_a_changed_bit_is_told_by_name(tmp_path: Path, blob: str) -> None:
    changed = bytearray(CONTENT)
    changed[3_000_000] ^= 1
    with Hashing(tmp_path / "a.tar") as hashing:
        write(hashing, tmp_path / blob, bytes(changed), 1 << 20)
        with pytest.raises(RefusedArtifact, match=rf"a\.tar was refused.*'blobs/{blob}'"):
            hashing.check(wait=True)


def test_a_writer_that_fails_ends_the_threads(tmp_path: Path) -> None:
    def fail() -> None:
        with Hashing(tmp_path / "a.tar") as hashing, (tmp_path / SHA256).open("xb") as file:
            hashing.follow(tmp_path / SHA256, "b", Hasher(9)).wrote(file.write(b"half"))
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert threading.active_count() == before
