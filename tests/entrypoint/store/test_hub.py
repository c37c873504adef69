"""Downloading from the hub, against a stand-in for it, and what each of its answers becomes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.errors import (
    HubError,
    IncompleteModel,
    InferenceServerError,
    MachineError,
    ModelNotFound,
    RevisionNotFound,
    StorageError,
)
from entrypoint.store import downloader
from entrypoint.store.fetch import fetch_model
from entrypoint.store.find import find_model
from entrypoint.store.model import Model, Request
from tests.end_to_end.launch import descendants
from tests.entrypoint.store.hub_stand_in import HubStandIn, serve_hub
from tests.entrypoint.store.samples import (
    COMMIT,
    FALCON,
    a_request,
    ignore_progress,
    model_files,
    safetensors,
    write_snapshot,
)

FILES = model_files(shards=2, size=100_000)
OTHERS = {"pytorch_model.bin": b"again", "tf_model.h5": b"again", "onnx/model.onnx": b"again"}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[HubStandIn]]:
    with serve_hub(FILES | OTHERS) as (address, handler):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield handler


def find_and_fetch(request: Request) -> Model:
    return fetch_model(find_model(request), request, ignore_progress)


def failure(kind: type[InferenceServerError], request: Request) -> InferenceServerError:
    with pytest.raises(kind) as caught:
        find_and_fetch(request)
    assert type(caught.value) is kind
    return caught.value


class TestDownload:
    def test_the_model_is_downloaded_to_the_cache(
        self, tmp_path: Path, hub: type[HubStandIn]
    ) -> None:
        reports: list[tuple[int, int]] = []
        request = a_request(tmp_path, tmp_path / "cache", offline=False)
        model = fetch_model(find_model(request), request, lambda *report: reports.append(report))
        assert (model.source, model.repository, model.revision) == ("hub", FALCON, COMMIT)
        assert model.on_disk
        assert model.path is not None
        assert model.path.is_relative_to(tmp_path / "cache")
        assert {path.name: path.read_bytes() for path in model.path.iterdir()} == FILES
        total = sum(map(len, FILES.values()))
        assert model.bytes == total
        assert reports[-1] == (total, total)
        assert not hub.downloaded & OTHERS.keys()

        later = find_model(a_request(tmp_path, tmp_path / "cache"))
        assert (later.source, later.path, later.revision) == ("cache", model.path, COMMIT)

    def test_half_a_download_is_completed(self, tmp_path: Path, hub: type[HubStandIn]) -> None:
        request = a_request(tmp_path, tmp_path / "cache", offline=False)
        path = find_and_fetch(request).path
        assert path is not None
        shard = path / "model-00002-of-00002.safetensors"
        shard.unlink()
        hub.downloaded.clear()
        model = find_and_fetch(request)
        assert (model.source, model.path) == ("hub", path)
        assert shard.is_file()
        assert hub.downloaded == set()  # its blob was still there

    @pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
    def test_the_request_counts_not_the_environment(
        self, tmp_path: Path, hub: type[HubStandIn], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "1")
        assert find_and_fetch(a_request(tmp_path, tmp_path / "cache", offline=False)).on_disk

    def test_the_revision_and_the_token_are_sent(
        self, tmp_path: Path, hub: type[HubStandIn]
    ) -> None:
        request = a_request(
            tmp_path, tmp_path / "cache", offline=False, revision=COMMIT, token="hf_a"
        )
        assert find_and_fetch(request).revision == COMMIT
        assert "Bearer hf_a" in hub.tokens

    def test_it_goes_to_the_first_root_that_can_be_written_to(
        self, tmp_path: Path, hub: type[HubStandIn]
    ) -> None:
        (tmp_path / "file").touch()
        roots = [tmp_path / "file" / "cache", tmp_path / "a" / "cache", tmp_path / "b"]
        model = find_and_fetch(a_request(tmp_path, *roots, offline=False))
        assert model.path is not None
        assert model.path.is_relative_to(tmp_path / "a" / "cache")
        assert not (tmp_path / "b").exists()

    def test_an_interrupted_download_takes_its_process_along(
        self, tmp_path: Path, hub: type[HubStandIn]
    ) -> None:
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        request = a_request(tmp_path, tmp_path / "cache", offline=False)
        before = descendants(os.getpid()).keys()
        with pytest.raises(KeyboardInterrupt):
            fetch_model(find_model(request), request, interrupt)
        assert not descendants(os.getpid()).keys() - before


class TestRefusals:
    def test_a_gated_model(self, tmp_path: Path, hub: type[HubStandIn]) -> None:
        request = a_request(tmp_path, tmp_path / "c", model_id="meta/gated", offline=False)
        error = failure(HubError, request)
        assert error.variable == "HF_TOKEN"
        assert "https://huggingface.co/meta/gated" in (error.hint or "")

    @pytest.mark.parametrize("name", ["meta/missing", "meta/private"])
    def test_a_model_that_the_hub_does_not_show(
        self, tmp_path: Path, hub: type[HubStandIn], name: str
    ) -> None:
        request = a_request(tmp_path, tmp_path / "c", model_id=name, offline=False)
        error = failure(ModelNotFound, request)
        assert repr(name) in error.message
        assert f"{tmp_path / 'c'}: does not exist" in error.message
        assert "HF_TOKEN" in (error.hint or "")

    def test_a_revision_that_the_hub_does_not_have(
        self, tmp_path: Path, hub: type[HubStandIn]
    ) -> None:
        request = a_request(tmp_path, tmp_path / "c", revision="1", offline=False)
        error = failure(RevisionNotFound, request)
        assert "REVISION is '1'" in error.message
        assert error.variable == "REVISION"

    def test_a_wrong_token(self, tmp_path: Path, hub: type[HubStandIn]) -> None:
        request = a_request(tmp_path, tmp_path / "c", token="hf_wrong", offline=False)
        error = failure(HubError, request)
        assert error.variable == "HF_TOKEN"
        assert "hf_wrong" not in f"{error.message} {error.hint}"

    def test_an_outage(self, tmp_path: Path, hub: type[HubStandIn]) -> None:
        request = a_request(tmp_path, tmp_path / "c", model_id="meta/down", offline=False)
        assert "500" in failure(HubError, request).message

    def test_no_answer(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        error = failure(HubError, a_request(tmp_path, tmp_path / "c", offline=False))
        assert "did not answer" in error.message
        assert "Connection refused" in error.message
        assert error.variable == "HF_HUB_OFFLINE"

    def test_a_repository_that_is_not_whole_itself(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serve_hub({"model.safetensors": safetensors()}) as (address, _):
            monkeypatch.setenv("HF_ENDPOINT", address)
            error = failure(IncompleteModel, a_request(tmp_path, tmp_path / "c", offline=False))
        assert "config.json" in error.message


class TestMachine:
    def test_no_root_that_can_be_written_to(self, tmp_path: Path, environment: None) -> None:
        (tmp_path / "file").touch()
        request = a_request(tmp_path, tmp_path / "file" / "cache", offline=False)
        error = failure(MachineError, request)
        assert str(tmp_path / "file" / "cache") in error.message
        assert error.variable == "HF_HUB_CACHE"
        assert "HF_HOME" in (error.hint or "")

    def test_no_root_at_all(self, tmp_path: Path, environment: None) -> None:
        assert "none is set" in failure(MachineError, a_request(tmp_path, offline=False)).message

    def test_a_disk_that_cannot_be_written(self, tmp_path: Path, hub: type[HubStandIn]) -> None:
        folder = write_snapshot(tmp_path / "c", files={}).parents[1]
        (folder / "blobs").rmdir()
        (folder / "blobs").touch()
        error = failure(StorageError, a_request(tmp_path, tmp_path / "c", offline=False))
        assert error.variable == "HF_HUB_CACHE"

    @pytest.mark.parametrize("reads", ["sys.stdin.read()", "pass"])
    def test_a_downloader_that_ends_without_a_word(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch, reads: str
    ) -> None:
        (tmp_path / "crash.py").write_text(f"import sys; {reads}; sys.exit(3)")
        monkeypatch.setattr(downloader, "__file__", str(tmp_path / "crash.py"))
        more_than_a_pipe_holds = "x" * 1_000_000
        request = a_request(tmp_path, tmp_path / "c", offline=False, token=more_than_a_pipe_holds)
        error = failure(HubError, request)
        assert "exit status 3" in error.message
