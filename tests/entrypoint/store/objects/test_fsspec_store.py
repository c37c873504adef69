"""Azure and Google Cloud: their clients as fsspec has them, by a file system in memory.

The file system in memory stands in for both: neither speaks a protocol that could be served here.
It keeps metadata and ETags as ``adlfs`` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from entrypoint.errors import (
    InferenceServerError,
    ModelNotFound,
    RefusedArtifact,
    StoreError,
)
from entrypoint.store.objects import retry
from entrypoint.store.objects.fsspec_store import FilesystemStore
from entrypoint.store.objects.opening import open_store
from entrypoint.store.objects.pull import find_object, pull
from entrypoint.store.objects.push import Pushed, hash_file, push
from entrypoint.store.progress import ignore_progress
from entrypoint.store.uri import parse_uri
from tests.support.object_stores import MIB, LastProgress, random_file, settings

URI = "az://bucket/models/a.tar"
SIZE = 3 * MIB + 5


class InMemory(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Blobs with metadata, in memory."""

    store: dict[str, Any] = {}  # noqa: RUF012  # as fsspec has it
    pseudo_dirs: list[str] = []  # noqa: RUF012
    cachable = False
    metadata: dict[str, dict[str, str]]
    fault: Callable[[int], None]
    reads: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.store.clear()
        self.pseudo_dirs[:] = ["", "/bucket"]
        self.metadata, self.reads = {}, []
        self.fault = lambda start: None

    def setxattrs(self, path: str, **metadata: str) -> None:
        self.metadata[path] = metadata

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().info(path, **kwargs)
        if found["type"] == "file":
            content = self.store[self._strip_protocol(path)].getvalue()
            found["etag"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return found | {"metadata": self.metadata.get(path)}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        self.reads.append(start or 0)
        self.fault(start or 0)
        content: bytes = super().cat_file(path, start, end)
        return content


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemory]:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    return InMemory()


def pushed(blobs: InMemory, tmp_path: Path) -> bytes:
    source = random_file(tmp_path / "source.tar", SIZE)
    store = FilesystemStore(parse_uri(URI), blobs)
    seen = LastProgress()
    done = push(store, source, hash_file(source, ignore_progress), tmp_path, 2, seen)
    assert done == Pushed(SIZE, SIZE, replaced=False)
    assert seen.bytes == SIZE
    return source.read_bytes()


def pull_to(blobs: InMemory, target: Path, uri: str = URI) -> str:
    store = FilesystemStore(parse_uri(uri), blobs)
    seen = LastProgress()
    pulled = pull(store, find_object(store), target, 2, seen)
    assert seen.bytes == pulled.size
    return pulled.verified


class TestTransfer:
    def test_a_pushed_object_is_pulled_unchanged(self, tmp_path: Path, blobs: InMemory) -> None:
        content = pushed(blobs, tmp_path)
        assert pull_to(blobs, tmp_path / "a.tar") == "sha256"
        assert (tmp_path / "a.tar").read_bytes() == content
        assert blobs.metadata["bucket/models/a.tar"]["is_directory"] == "false"  # adlfs's own

    def test_an_object_that_is_up_to_date_is_not_sent(
        self, tmp_path: Path, blobs: InMemory
    ) -> None:
        pushed(blobs, tmp_path)
        store = FilesystemStore(parse_uri(URI), blobs)
        source = tmp_path / "source.tar"
        assert (
            push(
                store, source, hash_file(source, ignore_progress), tmp_path, 2, ignore_progress
            ).sent_bytes
            == 0
        )

    def test_an_interrupted_pull_resumes(self, tmp_path: Path, blobs: InMemory) -> None:
        content = pushed(blobs, tmp_path)

        def deny(start: int) -> None:
            if start >= 2 * MIB:
                raise PermissionError("of the test")

        blobs.fault = deny
        with pytest.raises(StoreError, match="of the test"):
            pull_to(blobs, tmp_path / "a.tar")
        blobs.fault = lambda start: None
        blobs.reads.clear()
        pull_to(blobs, tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == content
        assert {2 * MIB, 3 * MIB} <= set(blobs.reads)
        assert len(blobs.reads) <= 3  # one more may have been in flight

    def test_a_lost_connection_is_retried(
        self, tmp_path: Path, blobs: InMemory, caplog: pytest.LogCaptureFixture
    ) -> None:
        content = pushed(blobs, tmp_path)
        failures = [ConnectionResetError("cut"), TimeoutError("slow")]

        def lose(start: int) -> None:
            if failures:
                raise failures.pop()

        blobs.fault = lose
        pull_to(blobs, tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == content
        assert len(caplog.records) == 2

    def test_another_content_is_refused(self, tmp_path: Path, blobs: InMemory) -> None:
        pushed(blobs, tmp_path)
        blobs.metadata["bucket/models/a.tar"]["sha256"] = "ab" * 32
        with pytest.raises(RefusedArtifact, match="abab"):
            pull_to(blobs, tmp_path / "a.tar")
        assert not (tmp_path / "a.tar").exists()

    def test_a_blob_that_changes_during_the_pull_is_refused(
        self, tmp_path: Path, blobs: InMemory
    ) -> None:
        pushed(blobs, tmp_path)

        def replace(start: int) -> None:
            blobs.fault = lambda start: None
            blobs.pipe_file("bucket/models/a.tar", bytes(SIZE))

        blobs.fault = replace
        with pytest.raises(StoreError, match="changed during the pull"):
            pull_to(blobs, tmp_path / "a.tar")
        assert not (tmp_path / "a.tar").exists()

    def test_without_metadata_only_the_size_is_compared(
        self, tmp_path: Path, blobs: InMemory
    ) -> None:
        blobs.pipe_file("bucket/models/a.tar", b"others pushed this")
        assert pull_to(blobs, tmp_path / "a.tar") == "size"


class TestErrors:
    def test_a_missing_key_names_those_near_it(self, tmp_path: Path, blobs: InMemory) -> None:
        pushed(blobs, tmp_path)
        with pytest.raises(ModelNotFound) as caught:
            pull_to(blobs, tmp_path / "a.tar", "az://bucket/models/b.tar")
        assert caught.value.nearest == URI

    def test_a_folder_names_its_objects(self, tmp_path: Path, blobs: InMemory) -> None:
        pushed(blobs, tmp_path)
        with pytest.raises(ModelNotFound, match="is a folder") as caught:
            pull_to(blobs, tmp_path / "a.tar", "az://bucket/models")
        assert URI in caught.value.available

    def test_a_missing_bucket(self, tmp_path: Path, blobs: InMemory) -> None:
        with pytest.raises(ModelNotFound, match="no container 'other'"):
            pull_to(blobs, tmp_path / "a.tar", "az://other/a.tar")

    @pytest.mark.parametrize(
        ("raised", "shown"),
        [
            (PermissionError("of the test"), "denies these credentials access"),
            (ConnectionRefusedError("of the test"), "did not answer"),
            (RuntimeError("of the test: https://a/b?se=1&sig=abcd"), "refused the request"),
        ],
    )
    def test_each_exception_of_a_client_is_one_of_our_errors(
        self, tmp_path: Path, blobs: InMemory, raised: Exception, shown: str
    ) -> None:
        pushed(blobs, tmp_path)

        def fail(start: int) -> None:
            raise raised

        blobs.fault = fail
        with pytest.raises(StoreError, match=shown) as caught:
            pull_to(blobs, tmp_path / "a.tar")
        assert "of the test" in caught.value.message
        assert "abcd" not in caught.value.message

    def test_azure_without_an_account_has_no_credentials(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(InferenceServerError, match="No credentials") as caught:
            open_store(parse_uri("az://b/a.tar"), settings(), 2)
        assert "AZURE_STORAGE_ACCOUNT_NAME" in (caught.value.hint or "")

    def test_azure_takes_the_account_and_its_secrets(self) -> None:
        uri = parse_uri("https://acc.blob.core.windows.net/c/a.tar?sig=abcd")
        store: Any = open_store(uri, settings(), 2)
        assert store._filesystem.account_name == "acc"
        assert store._filesystem.sas_token == "?sig=abcd"
        key = settings(AZURE_STORAGE_ACCESS_KEY="a2V5LTE=")
        named: Any = open_store(parse_uri("abfs://c@acc.dfs.core.windows.net/a.tar"), key, 2)
        assert named._filesystem.account_key == "a2V5LTE="
