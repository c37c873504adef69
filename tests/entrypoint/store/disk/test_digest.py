"""Hashes of content, as sha256sum and git compute them."""

from __future__ import annotations

import subprocess

import pytest

from entrypoint.store.disk.digest import BLOCK, Digests, Hasher, hash_type
from tests.support.models import sha256

CONTENT = bytes(range(256)) * 5


@pytest.mark.parametrize("content", [b"", b"{}", CONTENT])
def test_git_computes_the_same_hash(content: bytes) -> None:
    hasher = Hasher(len(content), git=True)
    for start in range(0, len(content), 7):
        hasher.update(memoryview(content)[start : start + 7])
    command = ["git", "hash-object", "--stdin"]
    git = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    assert hasher.digests() == Digests(sha256(content), git.decode().strip())


def test_git_s_hash_is_only_computed_on_request() -> None:
    hasher = Hasher(BLOCK)
    hasher.update(bytes(BLOCK))
    assert hasher.digests() == Digests(sha256(bytes(BLOCK)), None)


def test_a_blob_s_name_gives_the_type_of_its_hash() -> None:
    digests = Digests("a" * 64, "b" * 40)
    assert [
        hash_type(name) for name in ("0" * 64, "0" * 40, "0" * 32, "A" * 40, "a" * 64 + ".x")
    ] == [
        "sha256",
        "git-sha1",
        None,
        None,
        None,
    ]
    assert digests.of("0" * 64) == "a" * 64
    assert digests.of("0" * 40) == "b" * 40
    assert digests.of("etag") is None
