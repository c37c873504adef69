"""The hashes of a content are those of sha256sum and git."""

from __future__ import annotations

import subprocess

import pytest

from entrypoint.store.disk.digest import BLOCK, Digests, Hasher, naming
from tests.support.models import sha256

CONTENT = bytes(range(256)) * 5


@pytest.mark.parametrize("content", [b"", b"{}", CONTENT])
def test_gits_hash_is_gits(content: bytes) -> None:
    hasher = Hasher(len(content), git=True)
    for start in range(0, len(content), 7):
        hasher.update(memoryview(content)[start : start + 7])
    command = ["git", "hash-object", "--stdin"]
    git = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    assert hasher.digests() == Digests(sha256(content), git.decode().strip())


def test_gits_hash_is_left_out_where_it_is_not_wanted() -> None:
    hasher = Hasher(BLOCK)
    hasher.update(bytes(BLOCK))
    assert hasher.digests() == Digests(sha256(bytes(BLOCK)), None)


def test_what_a_blobs_name_says() -> None:
    digests = Digests("a" * 64, "b" * 40)
    assert [naming(name) for name in ("0" * 64, "0" * 40, "0" * 32, "A" * 40, "a" * 64 + ".x")] == [
        "sha256",
        "git-sha1",
        None,
        None,
        None,
    ]
    assert digests.of("0" * 64) == "a" * 64
    assert digests.of("0" * 40) == "b" * 40
    assert digests.of("etag") is None
