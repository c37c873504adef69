"""Pulling: whole, compared, and continued after whatever stopped it."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import (
    InferenceServerError,
    ModelNotFound,
    RefusedArtifact,
    StorageError,
    StoreError,
)
from entrypoint.store.objects import retry
from entrypoint.store.objects.pull import find_object, journal_of, pull
from entrypoint.store.objects.push import hash_file, push
from entrypoint.store.progress import ignore_progress
from entrypoint.store.transfer_process.messages import Pulled
from entrypoint.store.writing import room
from entrypoint.store.writing.publish import partial_path
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

SIZE = 6 * MIB + 123
PARTS = 7


def pushed(tmp_path: Path, size: int = SIZE, seed: int = 1) -> bytes:
    """Push random bytes, and return them."""
    source = random_file(tmp_path / "source.tar", size, seed)
    push(
        open_s3(),
        source,
        hash_file(source, ignore_progress),
        tmp_path / "scratch",
        4,
        ignore_progress,
    )
    return source.read_bytes()


def pull_to(
    target: Path, uri: str = URI, seen: LastProgress | None = None, workers: int = 4
) -> Pulled:
    store = open_s3(uri)
    return pull(store, find_object(store), target, workers, seen or ignore_progress)


def failure(
    kind: type[InferenceServerError], target: Path, uri: str = URI, workers: int = 4
) -> InferenceServerError:
    with pytest.raises(kind) as caught:
        pull_to(target, uri, workers=workers)
    assert type(caught.value) is kind
    return caught.value


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail_parts(*starts: int, code: str = "AccessDenied") -> Callable[[Asked], str | None]:
    """A fault of the parts that start at these MiB."""
    ranges = tuple(f"bytes={start * MIB}-" for start in starts)
    return lambda asked: code if (asked.range or "").startswith(ranges) else None


class TestWhole:
    @pytest.mark.parametrize("size", [0, 1, MIB, SIZE])
    def test_a_pulled_object_has_the_pushed_content(
        self, tmp_path: Path, s3: S3StandIn, size: int
    ) -> None:
        content, seen = pushed(tmp_path, size), LastProgress()
        pulled = pull_to(tmp_path / "new" / "a.tar", seen=seen)
        assert pulled.path.read_bytes() == content
        assert (pulled.size, pulled.fetched, seen.bytes) == (size, size, size)
        assert (pulled.verified, pulled.sha256) == ("sha256", hashlib.sha256(content).hexdigest())
        assert names(tmp_path / "new") == {"a.tar"}

    def test_it_comes_in_parts(self, tmp_path: Path, s3: S3StandIn) -> None:
        pushed(tmp_path)
        pull_to(tmp_path / "a.tar")
        assert len(s3.gets()) == PARTS

    def test_a_file_that_is_up_to_date_is_not_fetched(self, tmp_path: Path, s3: S3StandIn) -> None:
        pushed(tmp_path)
        pull_to(tmp_path / "new" / "a.tar")
        s3.requests.clear()
        seen = LastProgress()
        assert pull_to(tmp_path / "new" / "a.tar", seen=seen).fetched == 0
        assert (s3.gets(), seen.bytes) == ([], SIZE)
        assert names(tmp_path / "new") == {"a.tar"}

    def test_another_content_is_replaced(self, tmp_path: Path, s3: S3StandIn) -> None:
        content = pushed(tmp_path)
        target = random_file(tmp_path / "a.tar", SIZE, seed=2)
        pull_to(target)
        assert target.read_bytes() == content


class TestContinued:
    def test_only_what_was_missing_is_fetched(self, tmp_path: Path, s3: S3StandIn) -> None:
        content = pushed(tmp_path)
        target = tmp_path / "new" / "a.tar"
        s3.fault = fail_parts(5)
        failure(StoreError, target, workers=2)
        assert not target.exists()
        s3.fault = lambda asked: None
        s3.requests.clear()
        pulled = pull_to(target)
        assert target.read_bytes() == content
        # the one that failed, the one that was in flight beside it, and the last
        assert 1 <= len(s3.gets()) <= 3
        assert pulled.fetched <= 2 * MIB + 123
        assert names(tmp_path / "new") == {"a.tar"}

    def test_a_changed_object_is_pulled_from_scratch(self, tmp_path: Path, s3: S3StandIn) -> None:
        pushed(tmp_path)
        s3.fault = fail_parts(5)
        failure(StoreError, tmp_path / "a.tar")
        s3.fault = lambda asked: None
        content = pushed(tmp_path, seed=2)
        assert pull_to(tmp_path / "a.tar").fetched == SIZE
        assert (tmp_path / "a.tar").read_bytes() == content

    @pytest.mark.parametrize("lost", [partial_path, journal_of])
    def test_one_of_its_two_files_alone_does_not_count(
        self, tmp_path: Path, s3: S3StandIn, lost: Callable[[Path], Path]
    ) -> None:
        content = pushed(tmp_path)
        target = tmp_path / "a.tar"
        s3.fault = fail_parts(5)
        failure(StoreError, target)
        s3.fault = lambda asked: None
        lost(target).unlink()
        assert pull_to(target).fetched == SIZE
        assert target.read_bytes() == content

    def test_one_that_starts_again_takes_nothing_from_another(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        """Where locks do nothing, another process may rename what it has compared at any moment."""
        content = pushed(tmp_path)
        target = tmp_path / "a.tar"
        partial_path(target).write_bytes(content)
        s3.fault = fail_parts(*range(SIZE // MIB + 1))
        failure(StoreError, target)
        assert partial_path(target).read_bytes() == content

    @pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"finished": 3}', b"\xff"])
    def test_a_damaged_journal_does_not_count(
        self, tmp_path: Path, s3: S3StandIn, damage: bytes
    ) -> None:
        content = pushed(tmp_path, 3 * MIB)
        target = tmp_path / "a.tar"
        random_file(partial_path(target), 3 * MIB, seed=3)
        journal_of(target).write_bytes(damage)
        pull_to(target)
        assert target.read_bytes() == content

    def test_a_cut_connection_resumes_within_the_part(
        self, tmp_path: Path, s3: S3StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        content = pushed(tmp_path)
        cut = {"bytes=0-1048575", "bytes=4194304-5242879"}

        def fault(asked: Asked) -> str | None:
            if asked.range in cut:
                cut.remove(asked.range)
                return "cut"
            return None

        s3.fault = fault
        pull_to(tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == content
        assert len(s3.gets()) == PARTS + 2
        assert "bytes=524288-1048575" in [asked.range for asked in s3.gets()]
        lines = [record.message for record in caplog.records]
        assert len(lines) == 2
        assert all("attempt 2 of 5" in line for line in lines)
        assert {line.partition(" of s3")[0] for line in lines} == {"part 1", "part 5"}

    def test_a_second_process_waits_and_finds_the_file(
        self, tmp_path: Path, s3: S3StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        pushed(tmp_path)
        target = tmp_path / "a.tar"
        waits, begun, results = threading.Event(), threading.Lock(), []

        class Waiting(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "waiting" in record.getMessage():
                    waits.set()

        handler = Waiting()
        retry.log.addHandler(handler)
        second = threading.Thread(target=lambda: results.append(pull_to(target)))

        def fault(asked: Asked) -> None:
            if asked.range and begun.acquire(blocking=False):
                second.start()
                assert waits.wait(30)

        s3.fault = fault
        try:
            first = pull_to(target)
            second.join()
        finally:
            retry.log.removeHandler(handler)
        assert (first.fetched, results[0].fetched) == (SIZE, 0)
        assert len(s3.gets()) == PARTS


class TestCompared:
    def test_another_sha256_is_refused_and_nothing_kept(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "source.tar", SIZE)
        arrives = hashlib.sha256(source.read_bytes()).hexdigest()
        says = "ab" * 32
        open_s3().client.upload_file(
            str(source), BUCKET, KEY, ExtraArgs={"Metadata": {"sha256": says}}
        )
        error = failure(RefusedArtifact, tmp_path / "new" / "a.tar")
        assert arrives in error.message
        assert says in error.message
        assert error.exit_code == 65
        assert names(tmp_path / "new") == set()

    def test_a_part_that_changed_on_disk_is_detected(self, tmp_path: Path, s3: S3StandIn) -> None:
        content = pushed(tmp_path)
        target = tmp_path / "a.tar"
        s3.fault = fail_parts(5)
        failure(StoreError, target, workers=1)  # in turn: the first part has arrived
        s3.fault = lambda asked: None
        with partial_path(target).open("r+b") as file:
            file.write(bytes([content[0] ^ 1]))
        failure(RefusedArtifact, target)
        assert not target.exists()
        pull_to(target)
        assert target.read_bytes() == content

    @pytest.mark.parametrize("size", [MIB, 9 * MIB])
    def test_an_object_that_others_pushed_is_compared_by_its_etag(
        self, tmp_path: Path, s3: S3StandIn, size: int
    ) -> None:
        source = random_file(tmp_path / "source.tar", size)
        open_s3().client.upload_file(str(source), BUCKET, KEY)  # in parts of 8 MiB
        pulled = pull_to(tmp_path / "a.tar")
        assert pulled.verified == "etag"
        assert pulled.path.read_bytes() == source.read_bytes()
        assert pull_to(tmp_path / "a.tar").fetched == 0

    def test_content_that_differs_from_the_etag_is_refused(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "source.tar", 9 * MIB)
        open_s3().client.upload_file(str(source), BUCKET, KEY)
        target = tmp_path / "a.tar"
        s3.fault = fail_parts(5)
        failure(StoreError, target, workers=1)  # in turn: the first part has arrived
        s3.fault = lambda asked: None
        with partial_path(target).open("r+b") as file:
            file.write(b"other")
        assert "ETag" in failure(RefusedArtifact, target).message

    def test_an_object_whose_etag_is_not_an_md5_is_compared_by_size(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        source = random_file(tmp_path / "source.tar", MIB)
        open_s3().client.upload_file(
            str(source), BUCKET, KEY, ExtraArgs={"ServerSideEncryption": "aws:kms"}
        )
        assert pull_to(tmp_path / "a.tar").verified == "size"
        assert pull_to(tmp_path / "a.tar").fetched == MIB  # the size is not enough

    def test_an_object_that_changes_during_the_pull_is_refused(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        pushed(tmp_path)
        other = random_file(tmp_path / "other.tar", SIZE, seed=2)
        replaced = threading.Lock()

        def fault(asked: Asked) -> None:
            if asked.range and replaced.acquire(blocking=False):
                s3.fault = lambda asked: None
                open_s3().client.put_object(Bucket=BUCKET, Key=KEY, Body=other.read_bytes())

        s3.fault = fault
        error = failure(StoreError, tmp_path / "a.tar")
        assert "changed during the pull" in error.message
        assert not (tmp_path / "a.tar").exists()
        pull_to(tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == other.read_bytes()


class TestErrors:
    def test_a_missing_key_names_those_near_it(self, tmp_path: Path, s3: S3StandIn) -> None:
        pushed(tmp_path, 1)
        wrong = URI.replace("falcon-7b", "falcon-7")
        error = failure(ModelNotFound, tmp_path / "a.tar", wrong)
        assert isinstance(error, ModelNotFound)
        assert error.exit_code == 66
        assert error.nearest == URI
        assert wrong in error.message

    @pytest.mark.parametrize("uri", [f"s3://{BUCKET}", f"s3://{BUCKET}/models/falcon"])
    def test_a_folder_names_what_is_in_it(self, tmp_path: Path, s3: S3StandIn, uri: str) -> None:
        pushed(tmp_path, 1)
        error = failure(ModelNotFound, tmp_path / "a.tar", uri)
        assert "is a folder" in error.message
        assert URI in error.message

    def test_a_missing_bucket_is_named(self, tmp_path: Path, s3: S3StandIn) -> None:
        error = failure(ModelNotFound, tmp_path / "a.tar", "s3://no-such-bucket/a.tar")
        assert "no bucket 'no-such-bucket'" in error.message

    def test_denied_access_is_not_retried(self, tmp_path: Path, s3: S3StandIn) -> None:
        s3.fault = lambda asked: "AccessDenied"
        error = failure(StoreError, tmp_path / "a.tar")
        assert error.exit_code == 69
        assert "denies these credentials" in error.message
        assert "AccessDenied" in error.message or "403" in error.message
        assert len(s3.requests) == 1  # asking again would not help

    def test_missing_credentials_are_reported(
        self, tmp_path: Path, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        error = failure(StoreError, tmp_path / "a.tar")
        assert "No credentials" in error.message
        assert "AWS_ACCESS_KEY_ID" in (error.hint or "")
        assert s3.requests == []

    def test_a_public_object_without_credentials(
        self, tmp_path: Path, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pushed(tmp_path, 1)
        open_s3().client.put_object_acl(Bucket=BUCKET, Key=KEY, ACL="public-read")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        store = open_s3(awsAnonymousCredential="true")
        pull(store, find_object(store), tmp_path / "a.tar", 1, ignore_progress)
        assert (tmp_path / "a.tar").stat().st_size == 1

    def test_a_dead_endpoint_is_retried_a_few_times(
        self,
        tmp_path: Path,
        s3: S3StandIn,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        error = failure(StoreError, tmp_path / "a.tar")
        assert "127.0.0.1:1" in error.message
        assert len(caplog.records) == retry.ATTEMPTS - 1

    def test_an_overloaded_store_is_retried_a_few_times(
        self, tmp_path: Path, s3: S3StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        pushed(tmp_path, 1)
        s3.fault = lambda asked: "SlowDown" if asked.range else None
        error = failure(StoreError, tmp_path / "a.tar")
        assert "SlowDown" in error.message
        assert len(s3.gets()) == retry.ATTEMPTS
        assert len(caplog.records) == retry.ATTEMPTS - 1

    def test_too_little_space_is_reported_before_anything_is_fetched(
        self, tmp_path: Path, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pushed(tmp_path)
        monkeypatch.setattr(room, "free_bytes", lambda folder: 4096)
        error = failure(StorageError, tmp_path / "a.tar")
        assert error.exit_code == 74
        assert f"{SIZE:,} bytes are needed and only 4,096 are free" in error.message
        assert s3.gets() == []

    def test_a_folder_that_is_not_writable_is_an_error(self, tmp_path: Path, s3: S3StandIn) -> None:
        pushed(tmp_path, 1)
        (tmp_path / "file").touch()
        error = failure(StorageError, tmp_path / "file" / "a.tar")
        assert str(tmp_path / "file") in error.message


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path, s3: S3StandIn) -> None:
    content = pushed(tmp_path, 1)
    target = tmp_path / "a.tar"
    held = os.open(partial_path(target), os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.close(held)
    pull_to(target)
    assert target.read_bytes() == content
