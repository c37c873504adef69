"""Unpacked blobs are hashed correctly, and every mismatch is found."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from entrypoint.errors import RefusedArtifact
from entrypoint.store.tarballs.hashing import Hashing
from entrypoint.store.threads import Threads

CONTENT = random.Random(1).randbytes(5_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("blob", [SHA256, GIT])
def test_written_blobs_are_hashed(tmp_path: Path, blob: str) -> None:
    path = write(tmp_path / blob, CONTENT)
    with Threads(2) as threads:
        hashing = Hashing(tmp_path / "a.tar", threads)
        hashing.add(path, blob)
        hashing.check(wait=True)
    assert hashing.found[path].of(blob) == blob
    assert hashing.found[path].sha256 == SHA256


def test_more_files_than_threads_are_hashed(tmp_path: Path) -> None:
    with Threads(2) as threads:
        hashing = Hashing(tmp_path / "a.tar", threads)
        for number in range(50):
            content = b"%d" % number
            hashing.add(write(tmp_path / hashlib.sha256(content).hexdigest(), content), "b")
            hashing.check()
        hashing.check(wait=True)
    assert len(hashing.found) == 50


@pytest.mark.parametrize("blob", [SHA256, GIT])
def test_a_changed_bit_is_reported_with_the_name(tmp_path: Path, blob: str) -> None:
    changed = bytearray(CONTENT)
    changed[3_000_000] ^= 1
    with Threads(2) as threads:
        hashing = Hashing(tmp_path / "a.tar", threads)
        hashing.add(write(tmp_path / blob, bytes(changed)), f"blobs/{blob}")
        with pytest.raises(RefusedArtifact, match=rf"a\.tar was refused.*'blobs/{blob}'"):
            hashing.check(wait=True)
