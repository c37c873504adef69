"""Downloading from the hub, against a stand-in for it, and what each of its answers becomes."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from entrypoint.store.disk.cache import PARTIAL
from entrypoint.store.fetch import fetch_model
from entrypoint.store.hub import client, downloader
from entrypoint.store.hub.client import download
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress, Progress, ignore_progress
from entrypoint.store.search.find import find_model
from entrypoint.store.transfer_process import parent
from entrypoint.store.transfer_process.messages import (
    Downloaded,
    DownloadJob,
    Job,
    Message,
    decode,
    encode,
)
from tests.support.hub_stand_in import Fault, Hub, HubHandler, blob_id, serve_hub
from tests.support.launch import descendants
from tests.support.models import (
    COMMIT,
    FALCON,
    OTHER_COMMIT,
    a_request,
    model_files,
    safetensors,
    write_snapshot,
)

SHARD = "model-00002-of-00002.safetensors"
FILES = {**model_files(shards=2, size=100_000), "chat template/é.jinja": b"{{ messages }}"}
OTHERS = {
    "pytorch_model.bin": b"again",
    "training_args.bin": b"of no use",
    "tf_model.h5": b"again",
    "onnx/model.onnx": b"again",
}
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub(Hub(FILES | OTHERS)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The downloader runs here, for what does not depend on its being another process."""

    def run(module: str, job: Job, environ: Mapping[str, str]) -> Iterator[Message]:
        sent: list[Message] = []
        result = downloader.run(job, environ, sent.append)
        return (decode(encode(message)) for message in [*sent, result])

    monkeypatch.setattr(parent, "run_process", run)


def fetch(job: DownloadJob, on_progress: OnProgress = ignore_progress) -> Downloaded:
    return download(job, os.environ, on_progress)


def find_and_fetch(request: Request) -> Model:
    return fetch_model(find_model(request), request, ignore_progress)


def a_job(tmp_path: Path, **changes: Any) -> DownloadJob:
    job = DownloadJob(FALCON, None, None, tmp_path / "cache", os.environ["HF_ENDPOINT"])
    return replace(job, **changes)


def content(snapshot: Path | None) -> dict[str, bytes]:
    """``{name: content}`` of all files of a snapshot."""
    assert snapshot is not None
    return {
        path.relative_to(snapshot).as_posix(): path.read_bytes()
        for path in snapshot.rglob("*")
        if path.is_file()
    }


def failure(
    kind: type[InferenceServerError], request: Request | DownloadJob
) -> InferenceServerError:
    with pytest.raises(kind) as caught:
        find_and_fetch(request) if isinstance(request, Request) else fetch(request)
    assert type(caught.value) is kind
    return caught.value


def interrupt(job: DownloadJob, after: int) -> None:
    """Kill the download when this number of bytes is reported."""

    def stop(progress: Progress) -> None:
        if progress.done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(job, stop)


class TestDownload:
    def test_the_model_is_downloaded_to_the_cache(self, tmp_path: Path, hub: Hub) -> None:
        reports: list[Progress] = []
        request = a_request(tmp_path, tmp_path / "cache", offline=False)
        model = fetch_model(find_model(request), request, reports.append)
        assert (model.source, model.repository, model.revision) == ("hub", FALCON, COMMIT)
        assert model.on_disk
        assert model.path is not None
        assert model.path.is_relative_to(tmp_path / "cache")
        assert content(model.path) == FILES
        assert model.bytes == TOTAL
        assert reports[-1] == Progress(TOTAL, TOTAL)
        assert not hub.downloaded & OTHERS.keys()

        later = find_model(a_request(tmp_path, tmp_path / "cache"))
        assert (later.source, later.path, later.revision) == ("cache", model.path, COMMIT)

    @pytest.mark.usefixtures("at_once")
    def test_the_blobs_are_called_as_the_hub_calls_them(self, tmp_path: Path, hub: Hub) -> None:
        blobs = fetch(a_job(tmp_path)).path.parents[1] / "blobs"
        names = {blob_id(name, content) for name, content in FILES.items()}
        assert {path.name for path in blobs.iterdir()} == names

    def test_what_is_there_is_not_fetched_again(self, tmp_path: Path, hub: Hub) -> None:
        first = fetch(a_job(tmp_path))
        hub.forget()
        again = fetch(a_job(tmp_path))
        assert (first.fetched, again.fetched, again.missing) == (TOTAL, 0, 0)
        assert again.path == first.path
        assert hub.downloaded == set()

    @pytest.mark.usefixtures("at_once")
    def test_a_link_that_is_missing_is_made_again(self, tmp_path: Path, hub: Hub) -> None:
        request = a_request(tmp_path, tmp_path / "cache", offline=False)
        path = find_and_fetch(request).path
        assert path is not None
        (path / SHARD).unlink()
        hub.forget()
        model = find_and_fetch(request)
        assert (model.source, model.path) == ("hub", path)
        assert content(path) == FILES
        assert hub.downloaded == set()  # its blob was still there

    @pytest.mark.usefixtures("at_once")
    def test_a_blob_that_was_cut_short_is_fetched_again(self, tmp_path: Path, hub: Hub) -> None:
        path = fetch(a_job(tmp_path)).path
        (path / SHARD).resolve().write_bytes(FILES[SHARD][:1000])
        hub.forget()
        assert fetch(a_job(tmp_path)).fetched == len(FILES[SHARD])
        assert hub.downloaded == {SHARD}
        assert content(path) == FILES

    @pytest.mark.usefixtures("at_once")
    def test_files_of_the_same_content_are_fetched_once(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serve_hub(Hub({**FILES, "copy.safetensors": FILES[SHARD]})) as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.address)
            assert content(fetch(a_job(tmp_path)).path) == hub.files
            assert sum(hub.sent.values()) == TOTAL

    @pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
    def test_the_request_counts_not_the_environment(
        self, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "1")
        assert find_and_fetch(a_request(tmp_path, tmp_path / "cache", offline=False)).on_disk

    @pytest.mark.usefixtures("at_once")
    def test_it_goes_to_the_first_root_that_can_be_written_to(
        self, tmp_path: Path, hub: Hub
    ) -> None:
        (tmp_path / "file").touch()
        roots = [tmp_path / "file" / "cache", tmp_path / "a" / "cache", tmp_path / "b"]
        model = find_and_fetch(a_request(tmp_path, *roots, offline=False))
        assert model.path is not None
        assert model.path.is_relative_to(tmp_path / "a" / "cache")
        assert not (tmp_path / "b").exists()

    def test_two_at_once_share_the_work(self, tmp_path: Path, hub: Hub) -> None:
        """
        1. A download is in the middle of its large files.
        2. Another of the same model is started, and runs to its end.
        Result: both have the model; no byte was fetched twice.
        """
        hub.pause = 0.02
        script = (
            "import sys; from pathlib import Path\n"
            "import os\n"
            "from entrypoint.store.hub.client import download\n"
            "from entrypoint.store.transfer_process.messages import DownloadJob\n"
            f"job = DownloadJob({FALCON!r}, None, None, Path(sys.argv[1]), {hub.address!r})\n"
            "download(job, os.environ, lambda progress: print(progress.done, flush=True))"
        )
        job = a_job(tmp_path)
        command = [sys.executable, "-c", script, str(job.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
            assert first.stdout is not None
            assert first.stdout.readline()
            second = fetch(job)
            first.communicate()
        assert first.returncode == 0
        assert content(second.path) == FILES
        assert sum(hub.sent.values()) == TOTAL


class TestToken:
    @pytest.mark.usefixtures("at_once")
    def test_it_is_sent_with_the_revision(self, tmp_path: Path, hub: Hub) -> None:
        request = a_request(
            tmp_path, tmp_path / "cache", offline=False, revision=COMMIT, token="hf_a"
        )
        assert find_and_fetch(request).revision == COMMIT
        assert hub.tokens == {"Bearer hf_a"}

    @pytest.mark.usefixtures("at_once")
    def test_another_host_does_not_get_it(self, tmp_path: Path, hub: Hub) -> None:
        fetch(a_job(tmp_path, token="hf_a"))
        assert hub.storage_tokens == {None}

    def test_no_process_shows_the_token(self, tmp_path: Path, hub: Hub) -> None:
        hub.pause = 0.02
        seen: list[str] = []

        def look(progress: Progress) -> None:
            for process in descendants(os.getpid()):
                for file in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):  # one that has just ended
                        seen.append(Path(f"/proc/{process}/{file}").read_text())

        fetch(a_job(tmp_path, token="hf_secret"), look)
        assert any("entrypoint.store.hub.downloader" in text for text in seen)
        assert not any("hf_secret" in text for text in seen)


@pytest.mark.usefixtures("at_once")
class TestSelection:
    def test_patterns_select_the_files(self, tmp_path: Path, hub: Hub) -> None:
        job = a_job(tmp_path, include=("*.json", "*.bin"), exclude=("tok*",))
        fetched = fetch(job)
        assert content(fetched.path).keys() == {
            "config.json",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "training_args.bin",
        }
        assert {file.name for file in fetched.files} == content(fetched.path).keys()

    def test_a_format_selects_the_weights(self, tmp_path: Path, hub: Hub) -> None:
        names = content(fetch(a_job(tmp_path, format="bin")).path).keys()
        assert "pytorch_model.bin" in names
        assert "tokenizer.json" in names
        assert not [name for name in names if name.endswith((".safetensors", ".h5", ".onnx"))]
        assert "training_args.bin" not in names

    def test_a_missing_format_is_an_error(self, tmp_path: Path, hub: Hub) -> None:
        error = failure(ModelNotFound, a_job(tmp_path, format="gguf"))
        assert "no weights in the format gguf; it has safetensors, bin" in error.message
        assert "--format safetensors" in (error.hint or "")
        assert not (tmp_path / "cache").exists()

    def test_patterns_without_a_match_are_an_error(self, tmp_path: Path, hub: Hub) -> None:
        error = failure(ModelNotFound, a_job(tmp_path, include=("*.md",)))
        assert "--include '*.md'" in error.message

    def test_a_later_download_adds_the_skipped_files(self, tmp_path: Path, hub: Hub) -> None:
        first = fetch(a_job(tmp_path, include=("*.json",)))
        second = fetch(a_job(tmp_path))
        assert second.path == first.path
        assert content(second.path) == FILES
        assert sum(hub.sent.values()) == TOTAL


@pytest.mark.usefixtures("at_once")
class TestDryRun:
    def test_it_lists_what_is_missing_and_writes_nothing(self, tmp_path: Path, hub: Hub) -> None:
        listed = fetch(a_job(tmp_path, dry_run=True))
        assert {file.name: file.size for file in listed.files} == {
            name: len(content) for name, content in FILES.items()
        }
        assert (listed.commit, listed.size, listed.missing) == (COMMIT, TOTAL, TOTAL)
        assert listed.free > 0
        assert list(tmp_path.iterdir()) == []
        assert hub.downloaded == set()

    def test_partial_files_count_as_present(self, tmp_path: Path, hub: Hub) -> None:
        fetched = fetch(a_job(tmp_path))
        blob = (fetched.path / SHARD).resolve()
        blob.with_name(blob.name + PARTIAL).write_bytes(FILES[SHARD][:1000])
        blob.unlink()
        listed = fetch(a_job(tmp_path, dry_run=True))
        assert listed.path == fetched.path
        assert listed.missing == len(FILES[SHARD]) - 1000


class TestResume:
    @pytest.mark.usefixtures("at_once")
    def test_a_cut_connection_is_resumed(
        self, tmp_path: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
    ) -> None:
        hub.faults[SHARD] = Fault(cut=40_000)
        assert content(fetch(a_job(tmp_path)).path) == FILES
        assert [asked for asked in hub.asked if asked[0] == SHARD] == [(SHARD, 0), (SHARD, 40_000)]
        assert sum(hub.sent.values()) == TOTAL
        assert f"{SHARD}: stopped at 40,000 of {len(FILES[SHARD]):,}" in capfd.readouterr().err

    @pytest.mark.usefixtures("at_once")
    def test_a_busy_hub_is_retried(
        self, tmp_path: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
    ) -> None:
        hub.faults[SHARD] = Fault(status=429, headers={"Retry_After": "0"}, times=2)
        hub.faults["config.json"] = Fault(status=503, headers={"Retry_After": "0"})
        assert content(fetch(a_job(tmp_path)).path) == FILES
        told = capfd.readouterr().err
        assert f"{SHARD}: stopped at 0 of" in told
        assert "HTTP 429" in told
        assert "HTTP 503" in told

    @pytest.mark.usefixtures("at_once")
    def test_a_host_without_ranges_sends_the_file_again(self, tmp_path: Path, hub: Hub) -> None:
        hub.ranges = False
        hub.faults[SHARD] = Fault(cut=40_000)
        fetched = fetch(a_job(tmp_path))
        assert content(fetched.path) == FILES
        assert fetched.fetched == TOTAL
        assert hub.sent[SHARD] == 40_000 + len(FILES[SHARD])

    def test_a_killed_download_is_resumed(self, tmp_path: Path, hub: Hub) -> None:
        """
        1. A download is killed in the middle of its large files.
        2. The search finds no model, and reports an incomplete download.
        3. The download is started again.
        Result: only what was missing is fetched.
        """
        hub.pause = 0.2
        interrupt(a_job(tmp_path), after=20_000)
        request = a_request(tmp_path, tmp_path / "cache")
        with pytest.raises(ModelNotFound, match="a download of it is incomplete"):
            find_model(request)
        hub.pause = 0
        assert content(fetch(a_job(tmp_path)).path) == FILES
        assert max(count for _, count in hub.again) <= 65_536
        assert find_model(request).on_disk

    @pytest.mark.usefixtures("at_once")
    def test_a_damaged_partial_file_is_fetched_again(
        self, tmp_path: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
    ) -> None:
        blob = tmp_path / "cache" / f"models--{FALCON.replace('/', '--')}" / "blobs"
        blob.mkdir(parents=True)
        name = blob_id(SHARD, FILES[SHARD]) + PARTIAL
        (blob / name).write_bytes(bytes(1000))
        assert content(fetch(a_job(tmp_path)).path) == FILES
        assert [asked for asked in hub.asked if asked[0] == SHARD] == [(SHARD, 1000), (SHARD, 0)]
        assert "is damaged" in capfd.readouterr().err

    def test_a_killed_update_leaves_the_model_as_it_was(self, tmp_path: Path, hub: Hub) -> None:
        write_snapshot(tmp_path / "cache", commit=OTHER_COMMIT)
        hub.pause = 0.2
        interrupt(a_job(tmp_path), after=20_000)
        assert find_model(a_request(tmp_path, tmp_path / "cache")).revision == OTHER_COMMIT

    def test_an_interrupted_download_ends_its_process(self, tmp_path: Path, hub: Hub) -> None:
        before = descendants(os.getpid()).keys()
        interrupt(a_job(tmp_path), after=0)
        assert not descendants(os.getpid()).keys() - before


@pytest.mark.usefixtures("at_once")
class TestRefs:
    def refs(self, fetched: Downloaded) -> dict[str, str]:
        refs = fetched.path.parents[1] / "refs"
        return {
            path.relative_to(refs).as_posix(): path.read_text()
            for path in refs.rglob("*")
            if path.is_file()
        }

    def test_the_default_is_main(self, tmp_path: Path, hub: Hub) -> None:
        assert self.refs(fetch(a_job(tmp_path))) == {"main": COMMIT}

    @pytest.mark.parametrize("revision", [COMMIT, COMMIT[:7], "refs/pr/1"])
    def test_the_requested_revision_gets_a_ref_and_is_the_default(
        self, tmp_path: Path, hub: Hub, revision: str
    ) -> None:
        hub.refs = {revision: COMMIT}
        fetched = fetch(a_job(tmp_path, revision=revision))
        assert self.refs(fetched) == {revision: COMMIT, "main": COMMIT}
        for wanted in (None, revision):
            request = a_request(tmp_path, tmp_path / "cache", revision=wanted)
            assert find_model(request).path == fetched.path

    def test_another_default_stays(self, tmp_path: Path, hub: Hub) -> None:
        write_snapshot(tmp_path / "cache", commit=OTHER_COMMIT)
        fetched = fetch(a_job(tmp_path, revision=COMMIT))
        assert self.refs(fetched) == {"main": OTHER_COMMIT, COMMIT: COMMIT}

    def test_main_follows_the_hub(self, tmp_path: Path, hub: Hub) -> None:
        write_snapshot(tmp_path / "cache", commit=OTHER_COMMIT)
        assert self.refs(fetch(a_job(tmp_path)))["main"] == COMMIT


class TestHubsOwnClient:
    """huggingface_hub agrees, on the stand-in and on what is in the cache."""

    def ask(self, tmp_path: Path, script: str) -> str:
        command = [
            sys.executable,
            "-c",
            "import huggingface_hub as hf, os, sys\n"
            f"name, cache = {FALCON!r}, sys.argv[1]\n" + script,
            str(tmp_path / "cache"),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @pytest.mark.usefixtures("at_once")
    def test_it_finds_a_pinned_commit_without_a_network(self, tmp_path: Path, hub: Hub) -> None:
        fetched = fetch(a_job(tmp_path, revision=COMMIT))
        script = "print(hf.snapshot_download(name, cache_dir=cache, local_files_only=True))"
        assert self.ask(tmp_path, script) == str(fetched.path)

    @pytest.mark.usefixtures("at_once")
    def test_it_has_nothing_to_add(self, tmp_path: Path, hub: Hub) -> None:
        fetched = fetch(a_job(tmp_path))
        hub.forget()
        script = "print(hf.snapshot_download(name, cache_dir=cache, allow_patterns=['m*', '*.j*']))"
        assert self.ask(tmp_path, script) == str(fetched.path)
        assert hub.downloaded == set()

    @pytest.mark.usefixtures("at_once")
    def test_it_finds_the_cache_complete(self, tmp_path: Path, hub: Hub) -> None:
        fetch(a_job(tmp_path, revision=COMMIT))
        script = (
            "scan = hf.scan_cache_dir(cache); assert not scan.warnings, scan.warnings\n"
            "(repo,) = scan.repos; (revision,) = repo.revisions\n"
            "print(repo.size_on_disk, *sorted(revision.refs))"
        )
        assert self.ask(tmp_path, script) == f"{TOTAL} {COMMIT} main"

    @pytest.mark.usefixtures("at_once")
    def test_what_it_downloaded_is_not_fetched_again(self, tmp_path: Path, hub: Hub) -> None:
        self.ask(tmp_path, "hf.snapshot_download(name, cache_dir=cache)")
        hub.forget()
        assert fetch(a_job(tmp_path)).fetched == 0
        assert hub.downloaded == set()


@pytest.mark.usefixtures("at_once")
class TestRefusals:
    def test_a_gated_model_needs_a_token(self, tmp_path: Path, hub: Hub) -> None:
        request = a_request(tmp_path, tmp_path / "c", model_id="meta/gated", offline=False)
        error = failure(HubError, request)
        assert error.variable == "HF_TOKEN"
        assert "https://huggingface.co/meta/gated" in (error.hint or "")

    @pytest.mark.parametrize(
        ("token", "words"), [("hf_a", "with this token"), (None, "without a token")]
    )
    def test_a_model_that_lists_its_files_and_denies_them_is_gated(
        self, tmp_path: Path, hub: Hub, token: str | None, words: str
    ) -> None:
        hub.gated = True
        error = failure(HubError, a_job(tmp_path, token=token))
        assert error.variable == "HF_TOKEN"
        assert words in error.message

    @pytest.mark.parametrize("name", ["meta/missing", "meta/private"])
    def test_a_model_that_the_hub_does_not_show_is_not_found(
        self, tmp_path: Path, hub: Hub, name: str
    ) -> None:
        request = a_request(tmp_path, tmp_path / "c", model_id=name, offline=False)
        error = failure(ModelNotFound, request)
        assert repr(name) in error.message
        assert f"{tmp_path / 'c'}: does not exist" in error.message
        assert "HF_TOKEN" in (error.hint or "")

    def test_a_revision_that_the_hub_does_not_have_is_not_found(
        self, tmp_path: Path, hub: Hub
    ) -> None:
        request = a_request(tmp_path, tmp_path / "c", revision="1", offline=False)
        error = failure(RevisionNotFound, request)
        assert "REVISION is '1'" in error.message
        assert error.variable == "REVISION"

    def test_a_wrong_token_is_not_accepted(self, tmp_path: Path, hub: Hub) -> None:
        request = a_request(tmp_path, tmp_path / "c", token="hf_wrong", offline=False)
        error = failure(HubError, request)
        assert error.variable == "HF_TOKEN"
        assert "does not accept the token" in error.message
        assert "hf_wrong" not in f"{error.message} {error.hint}"

    def test_an_outage_names_the_hub(self, tmp_path: Path, hub: Hub) -> None:
        error = failure(HubError, a_job(tmp_path, repository="meta/down"))
        assert "500" in error.message
        assert f"HF_ENDPOINT={hub.address}" in error.message

    def test_too_many_requests_are_a_rate_limit(self, tmp_path: Path, hub: Hub) -> None:
        error = failure(HubError, a_job(tmp_path, repository="meta/limited"))
        assert "429" in error.message
        assert "later" in (error.hint or "")

    def test_a_wait_that_is_too_long_is_an_error(self, tmp_path: Path, hub: Hub) -> None:
        hub.faults[SHARD] = Fault(status=429, headers={"Retry_After": "3600"})
        error = failure(HubError, a_job(tmp_path))
        assert "limits the requests" in error.message
        assert "secret-signature" not in error.message

    def test_a_hub_that_is_down_did_not_answer(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://user:word@127.0.0.1:{port}")
        error = failure(HubError, a_request(tmp_path, tmp_path / "c", offline=False))
        endpoint = f"HF_ENDPOINT=http://127.0.0.1:{port}"
        assert f"did not answer ({endpoint}): Connection refused." in error.message
        assert error.variable == "HF_HUB_OFFLINE"

    def test_a_hub_that_sends_nothing_did_not_answer(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
            error = failure(HubError, a_job(tmp_path))
        assert "did not answer" in error.message
        assert "timed out" in error.message

    def test_content_that_differs_from_the_list_is_refused(self, tmp_path: Path, hub: Hub) -> None:
        hub.listed[SHARD] = {"lfs": {"oid": "0" * 64, "size": len(FILES[SHARD]), "pointerSize": 1}}
        for _ in range(2):  # wrong content is not resumed
            error = failure(HubError, a_job(tmp_path))
            assert f"{SHARD} arrived with another content" in error.message
        with pytest.raises(ModelNotFound):
            find_model(a_request(tmp_path, tmp_path / "cache"))

    @pytest.mark.parametrize(
        ("listed", "words"),
        [
            ({"path": "../../outside.json"}, "cannot be the name"),
            ({"path": "/etc/outside.json"}, "cannot be the name"),
            ({"oid": "../../../outside"}, "with the hash"),
        ],
    )
    def test_a_list_that_leads_out_of_the_cache_is_refused(
        self, tmp_path: Path, hub: Hub, listed: dict[str, object], words: str
    ) -> None:
        hub.listed["config.json"] = listed
        assert words in failure(HubError, a_job(tmp_path)).message
        assert list(tmp_path.iterdir()) == []

    def test_an_answer_of_something_else_is_not_a_hubs(
        self, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(HubHandler, "info", lambda self, _: self.answer(200, b"<html>login"))
        error = failure(HubError, a_job(tmp_path))
        assert "not a valid answer of a hub" in error.message
        assert error.variable == "HF_ENDPOINT"

    def test_an_incomplete_repository_is_an_error(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serve_hub(Hub({"model.safetensors": safetensors()})) as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.address)
            error = failure(IncompleteModel, a_request(tmp_path, tmp_path / "c", offline=False))
        assert "config.json" in error.message


class TestMachine:
    def test_without_a_writable_root_there_is_no_download(
        self, tmp_path: Path, environment: None
    ) -> None:
        (tmp_path / "file").touch()
        request = a_request(tmp_path, tmp_path / "file" / "cache", offline=False)
        error = failure(MachineError, request)
        assert str(tmp_path / "file" / "cache") in error.message
        assert error.variable == "HF_HUB_CACHE"
        assert "HF_HOME" in (error.hint or "")

    def test_without_any_root_there_is_no_download(self, tmp_path: Path, environment: None) -> None:
        assert "none is set" in failure(MachineError, a_request(tmp_path, offline=False)).message

    @pytest.mark.usefixtures("at_once")
    def test_a_failed_write_is_a_storage_error(self, tmp_path: Path, hub: Hub) -> None:
        folder = write_snapshot(tmp_path / "c", files={}).parents[1]
        (folder / "blobs").rmdir()
        (folder / "blobs").touch()
        error = failure(StorageError, a_request(tmp_path, tmp_path / "c", offline=False))
        assert error.variable == "HF_HUB_CACHE"

    @pytest.mark.usefixtures("at_once")
    def test_too_little_space_is_found_before_anything_is_fetched(
        self, tmp_path: Path, hub: Hub
    ) -> None:
        free = shutil.disk_usage(tmp_path).free
        size = free * 10
        hub.listed[SHARD] = {"lfs": {"oid": "0" * 64, "size": size, "pointerSize": 1}}
        error = failure(StorageError, a_job(tmp_path))
        assert "not enough disk space" in error.message
        assert f"{size + TOTAL - len(FILES[SHARD]):,} bytes are needed" in error.message
        assert hub.downloaded == set()

    @pytest.mark.parametrize("reads", ["sys.stdin.readline()", "pass"])
    def test_a_crashed_downloader_is_an_error(
        self, tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch, reads: str
    ) -> None:
        (tmp_path / "crash.py").write_text(f"import sys; {reads}; sys.exit(3)")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(client, "DOWNLOADER", "crash")
        more_than_a_pipe_holds = "x" * 1_000_000
        request = a_request(tmp_path, tmp_path / "c", offline=False, token=more_than_a_pipe_holds)
        error = failure(HubError, request)
        assert "exit status 3" in error.message
