"""Pushing: an object appears whole or not at all, with its SHA-256, and only what is missing."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import ModelNotFound, StoreError
from entrypoint.store.objects import multipart, retry
from entrypoint.store.objects.pull import find_object, pull
from entrypoint.store.objects.push import Pushed, hash_file, push
from entrypoint.store.progress import ignore_progress
from tests.support.object_stores import (
    BUCKET,
    KEY,
    MIB,
    URI,
    Asked,
    LastProgress,
    S3StandIn,
    open_s3,
    random_file,
)

SIZE = 4 * MIB + 7
PART = MIB


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIZE makes five."""
    monkeypatch.setattr(multipart, "upload_part_size", lambda size: PART)


def push_from(
    source: Path, scratch: Path, seen: LastProgress | None = None, uri: str = URI, **variables: Any
) -> Pushed:
    store = open_s3(uri, **variables)
    return push(
        store, source, hash_file(source, ignore_progress), scratch, 2, seen or ignore_progress
    )


def head() -> dict[str, Any]:
    answer: dict[str, Any] = open_s3().client.head_object(Bucket=BUCKET, Key=KEY)
    return answer


def uploads() -> list[str]:
    answer = open_s3().client.list_multipart_uploads(Bucket=BUCKET)
    return [upload["UploadId"] for upload in answer.get("Uploads", ())]


def fail_part(number: int, code: str = "AccessDenied") -> Any:
    return lambda asked: code if asked.part == number else None


class TestWhole:
    def test_the_object_has_the_content_and_its_sha256(self, tmp_path: Path, s3: S3StandIn) -> None:
        source, seen = random_file(tmp_path / "a.tar", SIZE), LastProgress()
        assert push_from(source, tmp_path, seen) == Pushed(SIZE, SIZE, replaced=False)
        assert seen.bytes == SIZE
        assert sorted(s3.sent_parts()) == [1, 2, 3, 4, 5]
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        assert head()["Metadata"] == {"sha256": digest}
        assert uploads() == []
        assert list((tmp_path / "uploads").iterdir()) == []
        store = open_s3()
        pulled = pull(store, find_object(store), tmp_path / "b.tar", 4, ignore_progress)
        assert pulled.path.read_bytes() == source.read_bytes()

    @pytest.mark.parametrize("size", [0, 1, PART])
    def test_a_small_file_is_sent_at_once(self, tmp_path: Path, s3: S3StandIn, size: int) -> None:
        source = random_file(tmp_path / "a.tar", size)
        assert push_from(source, tmp_path).sent_bytes == size
        assert s3.sent_parts() == []
        assert head()["ContentLength"] == size
        assert head()["Metadata"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()

    def test_an_object_with_the_same_sha256_is_not_sent_again(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        push_from(source, tmp_path)
        s3.requests.clear()
        seen = LastProgress()
        assert push_from(source, tmp_path, seen).sent_bytes == 0
        assert {asked.method for asked in s3.requests} == {"HEAD"}
        assert seen.bytes == SIZE

    def test_another_content_is_replaced(self, tmp_path: Path, s3: S3StandIn) -> None:
        push_from(random_file(tmp_path / "a.tar", SIZE), tmp_path)
        assert push_from(random_file(tmp_path / "a.tar", SIZE, seed=2), tmp_path).replaced

    def test_a_store_without_the_newer_checksums_is_supported(
        self, tmp_path: Path, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        source = random_file(tmp_path / "a.tar", SIZE)
        assert push_from(source, tmp_path).sent_bytes == SIZE

    def test_kserves_variables_set_the_endpoint(
        self, tmp_path: Path, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        source = random_file(tmp_path / "a.tar", 1)
        place = s3.address.removeprefix("http://")
        push_from(source, tmp_path, S3_ENDPOINT=place, S3_USE_HTTPS="0")
        assert [asked.method for asked in s3.requests].count("PUT") == 1


class TestContinued:
    def stop_at_part(self, s3: S3StandIn, source: Path, scratch: Path, number: int) -> None:
        s3.fault = fail_part(number)
        with pytest.raises(StoreError, match="denies these credentials"):
            push_from(source, scratch)
        s3.fault = lambda asked: None
        s3.requests.clear()

    def test_only_the_missing_parts_are_sent(self, tmp_path: Path, s3: S3StandIn) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        self.stop_at_part(s3, source, tmp_path, 4)
        [begun] = uploads()
        pushed = push_from(source, tmp_path)
        # 3 or 5 may have been in flight beside it
        assert {4} <= set(s3.sent_parts()) <= {3, 4, 5}
        assert pushed.sent_bytes <= 2 * PART + 7
        assert {asked.query["uploadId"][0] for asked in s3.requests if asked.part} == {begun}
        assert uploads() == []
        store = open_s3()
        pulled = pull(store, find_object(store), tmp_path / "b.tar", 4, ignore_progress)
        assert pulled.path.read_bytes() == source.read_bytes()

    def test_a_part_with_other_content_is_sent_again(self, tmp_path: Path, s3: S3StandIn) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        self.stop_at_part(s3, source, tmp_path, 4)
        open_s3().client.upload_part(
            Bucket=BUCKET, Key=KEY, UploadId=uploads()[0], PartNumber=1, Body=bytes(PART)
        )
        s3.requests.clear()
        push_from(source, tmp_path)
        assert 1 in s3.sent_parts()

    def test_a_changed_file_is_sent_from_scratch(
        self, tmp_path: Path, s3: S3StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.stop_at_part(s3, random_file(tmp_path / "a.tar", SIZE), tmp_path, 4)
        source = random_file(tmp_path / "a.tar", SIZE, seed=2)
        assert push_from(source, tmp_path).sent_bytes == SIZE
        assert "aborting" in caplog.text
        assert uploads() == []
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        assert head()["Metadata"]["sha256"] == digest

    def test_an_upload_that_the_store_removed_starts_again(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        self.stop_at_part(s3, source, tmp_path, 4)
        open_s3().client.abort_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=uploads()[0])
        assert push_from(source, tmp_path).sent_bytes == SIZE

    def test_a_part_is_sent_again_after_the_store_was_busy(
        self, tmp_path: Path, s3: S3StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        busy = threading.Lock()

        def fault(asked: Asked) -> str | None:
            return "SlowDown" if asked.part == 2 and busy.acquire(blocking=False) else None

        s3.fault = fault
        push_from(source, tmp_path)
        assert sorted(s3.sent_parts()) == [1, 2, 2, 3, 4, 5]
        [line] = [record.message for record in caplog.records]
        assert "part 2 of s3://" in line
        assert "SlowDown" in line

    def test_a_store_that_stays_busy_is_an_error(self, tmp_path: Path, s3: S3StandIn) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        s3.fault = fail_part(1, "SlowDown")
        with pytest.raises(StoreError, match="SlowDown"):
            push_from(source, tmp_path)
        assert s3.sent_parts().count(1) == retry.ATTEMPTS


class TestErrors:
    def test_a_missing_bucket_is_an_error_of_the_push(self, tmp_path: Path, s3: S3StandIn) -> None:
        source = random_file(tmp_path / "a.tar", 1)
        with pytest.raises(ModelNotFound, match="no bucket 'no-such-bucket'"):
            push_from(source, tmp_path, uri="s3://no-such-bucket/a.tar")

    def test_a_file_that_changes_during_the_push_is_refused(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "a.tar", SIZE)
        digest = hash_file(source, ignore_progress)
        cut = threading.Lock()

        def fault(asked: Asked) -> None:
            if asked.part and cut.acquire(blocking=False):
                source.write_bytes(b"")

        s3.fault = fault
        with pytest.raises(StoreError, match="changed during the push"):
            push(open_s3(), source, digest, tmp_path, 1, ignore_progress)

    def test_an_object_with_other_content_afterwards_is_an_error(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "a.tar", 1)

        def fault(asked: Asked) -> None:
            if asked.method == "HEAD" and "PUT" in {other.method for other in s3.requests}:
                s3.fault = lambda asked: None
                open_s3().client.put_object(Bucket=BUCKET, Key=KEY, Body=b"other")

        s3.fault = fault
        with pytest.raises(StoreError, match="differs from the pushed file"):
            push_from(source, tmp_path)

    def test_a_missing_file_cannot_be_hashed(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound, match="does not exist"):
            hash_file(tmp_path / "a.tar", ignore_progress)
