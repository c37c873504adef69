"""Uploading to S3 in parts: what is sent, what the store verifies, and what is remembered."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import StoreError
from entrypoint.store.objects import multipart
from entrypoint.store.objects.multipart import SentPart
from tests.support.object_stores import BUCKET, KEY, MIB, S3StandIn, open_s3, random_file

SIZE = 2 * MIB + 7


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIZE makes three."""
    monkeypatch.setattr(multipart, "upload_part_size", lambda size: MIB)


def put(source: Path, scratch: Path, sha256: str | None = None) -> tuple[int, int]:
    """Upload a file; return the bytes sent, and the bytes reported."""
    counts: list[int] = []
    digest = sha256 or hashlib.sha256(source.read_bytes()).hexdigest()
    sent = open_s3().put(source, digest, scratch, 1, counts.append)
    return sent, sum(counts)


def stored() -> bytes:
    content: bytes = open_s3().client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return content


@pytest.mark.parametrize(
    ("size", "parts"), [(0, []), (MIB, []), (MIB + 1, [1, 2]), (SIZE, [1, 2, 3])]
)
def test_every_byte_is_sent_and_reported(
    tmp_path: Path, s3: S3StandIn, size: int, parts: list[int]
) -> None:
    source = random_file(tmp_path / "a.tar", size)
    assert put(source, tmp_path) == (size, size)
    assert s3.sent_parts() == parts
    assert stored() == source.read_bytes()


def test_a_small_file_with_another_digest_is_not_sent(tmp_path: Path, s3: S3StandIn) -> None:
    source = random_file(tmp_path / "a.tar", 10)
    with pytest.raises(StoreError, match="changed"):
        put(source, tmp_path, "ab" * 32)
    assert not s3.requests


class TestResume:
    def stop(self, tmp_path: Path, s3: S3StandIn) -> Path:
        """Upload one part, and fail at the second one."""
        source = random_file(tmp_path / "a.tar", SIZE)
        s3.fault = lambda asked: "AccessDenied" if asked.part == 2 else None
        with pytest.raises(StoreError):
            put(source, tmp_path)
        s3.fault = lambda asked: None
        s3.requests.clear()
        return source

    def test_only_missing_parts_are_sent_and_all_are_reported(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = self.stop(tmp_path, s3)
        sent, reported = put(source, tmp_path)
        assert reported == SIZE
        # part 3 may have been in flight beside the part that failed
        assert (sorted(s3.sent_parts()), sent) in (([2], MIB), ([2, 3], MIB + 7))
        assert stored() == source.read_bytes()

    def test_the_note_remembers_the_upload_until_it_is_complete(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = self.stop(tmp_path, s3)
        [note] = (tmp_path / "uploads").iterdir()
        remembered: dict[str, Any] = json.loads(note.read_text())
        assert remembered["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert (remembered["size"], remembered["part_size"]) == (SIZE, MIB)
        put(source, tmp_path)
        assert not note.exists()

    @pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"id": 1}'])
    def test_a_damaged_note_starts_a_new_upload(
        self, tmp_path: Path, s3: S3StandIn, damage: bytes
    ) -> None:
        source = self.stop(tmp_path, s3)
        [note] = (tmp_path / "uploads").iterdir()
        note.write_bytes(damage)
        assert put(source, tmp_path)[0] == SIZE
        assert s3.sent_parts() == [1, 2, 3]


@pytest.mark.parametrize(
    ("part", "argument"),
    [
        (SentPart("e", None), {"PartNumber": 3, "ETag": "e"}),
        (SentPart("e", "c"), {"PartNumber": 3, "ETag": "e", "ChecksumSHA256": "c"}),
    ],
)
def test_a_part_is_numbered_from_one_for_the_store(
    part: SentPart, argument: dict[str, object]
) -> None:
    assert part.as_argument(2) == argument
