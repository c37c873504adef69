"""The checksum of a pulled file: what it is compared by, and what it finds."""

from __future__ import annotations

import hashlib

import pytest

from entrypoint.store.objects.checksum import COMPARED, Checksum
from entrypoint.store.objects.store import ObjectState

CONTENT = bytes(range(256)) * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def md5(*parts: bytes) -> str:
    return hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()


def etag_of_parts(size: int) -> str:
    """S3's ETag of the content, uploaded in parts of ``size`` bytes."""
    parts = [CONTENT[start : start + size] for start in range(0, len(CONTENT), size)]
    digests = [hashlib.md5(part, usedforsecurity=False).digest() for part in parts]
    return f"{md5(*digests)}-{len(parts)}"


def checksum_of(state: ObjectState, content: bytes = CONTENT, piece: int = 7) -> Checksum:
    checksum = Checksum(state)
    for start in range(0, len(content), piece):
        checksum.update(content[start : start + piece])
    return checksum


@pytest.mark.parametrize(
    ("state", "comparison"),
    [
        (ObjectState(2560, "e", sha256=SHA256), "sha256"),
        (ObjectState(2560, "e", sha256=SHA256.upper()), "sha256"),
        (ObjectState(2560, "e", md5=md5(CONTENT)), "etag"),
        (ObjectState(2560, "e", md5=etag_of_parts(1000), md5_part_size=1000), "etag"),
        (ObjectState(2560, "e", md5=etag_of_parts(256), md5_part_size=256), "etag"),
        (ObjectState(2560, "e"), "size"),
    ],
)
@pytest.mark.parametrize("piece", [7, 256, 5000])
def test_the_same_content_has_no_problem(state: ObjectState, comparison: str, piece: int) -> None:
    checksum = checksum_of(state, piece=piece)
    assert (checksum.comparison, checksum.problem()) == (comparison, None)
    assert checksum.sha256 == SHA256
    assert checksum.comparison in COMPARED


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ObjectState(2560, "e", sha256=SHA256), SHA256),
        (ObjectState(2560, "e", md5=md5(CONTENT)), md5(CONTENT)),
        (ObjectState(2560, "e", md5=etag_of_parts(256), md5_part_size=256), etag_of_parts(256)),
    ],
)
def test_another_content_is_a_problem_with_both_values(state: ObjectState, words: str) -> None:
    problem = checksum_of(state, bytes(2560)).problem()
    assert problem is not None
    assert f"the object's is {words}" in problem


def test_another_size_is_a_problem() -> None:
    problem = checksum_of(ObjectState(2560, "e"), CONTENT[1:]).problem()
    assert problem == "it has 2559 bytes, and the object has 2560"
