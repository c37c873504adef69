"""Bringing a model onto the disk: a tarball is unpacked once, and completely or not at all."""

from __future__ import annotations

import fcntl
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import (
    IncompleteModel,
    ModelNotFound,
    RefusedArtifact,
    RevisionNotFound,
    StorageError,
    StoreError,
)
from entrypoint.store.fetch import fetch_model
from entrypoint.store.model import Model, Request
from entrypoint.store.objects.pull import journal_of
from entrypoint.store.progress import Progress, ignore_progress
from entrypoint.store.search.artifact import target_of
from entrypoint.store.search.find import find_model
from entrypoint.store.uri import parse_uri
from entrypoint.store.writing import room
from tests.support.fetching import failure, find_and_fetch, put, stored
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    a_request,
    compress,
    model_files,
    of_type,
    pack,
    pack_with_gnu_tar,
    tar_of,
    write_files,
    write_snapshot,
)
from tests.support.object_stores import BUCKET, KEY, MIB, URI, Asked, S3StandIn, open_s3


def leftovers(request: Request) -> list[str]:
    """Return the files in the scratch folder that are not part of a complete model."""
    return [path.name for path in request.scratch.rglob("*.partial")]


def unreachable(progress: Progress) -> None:
    raise AssertionError("nothing was to be unpacked")


class TestLayouts:
    @pytest.mark.parametrize(("compression", "suffix"), COMPRESSIONS.items())
    @pytest.mark.parametrize("packer", [pack, pack_with_gnu_tar])
    @pytest.mark.parametrize("top", [".", "tiiuae--falcon-7b-instruct"])
    def test_a_cache_with_its_version_file_is_unpacked(
        self,
        tmp_path: Path,
        compression: str,
        suffix: str,
        packer: Callable[..., Path],
        top: str,
    ) -> None:
        write_snapshot(tmp_path / "source" / top, files=model_files(shards=2))
        write_snapshot(tmp_path / "source" / top, commit=OTHER_COMMIT, files={}, ref=None)
        (tmp_path / "source" / top / "version.txt").write_text("1")
        archive = packer(
            tmp_path / "source", tmp_path / "models" / f"falcon-7b-instruct{suffix}", compression
        )
        request = a_request(tmp_path, tmp_path / "models")
        model = find_and_fetch(request)
        assert (model.source, model.repository, model.revision) == ("tarball", FALCON, COMMIT)
        assert (model.archive, model.on_disk) == (None, True)
        assert model.path is not None
        assert model.path.is_relative_to(request.scratch / "models")
        config = model.path / "config.json"
        assert config.read_bytes() == model_files()["config.json"]
        assert config.is_symlink()
        assert model.bytes == sum(map(len, model_files(shards=2).values()))
        assert model.config == json.loads(model_files()["config.json"])
        assert model.searched[-1].place == str(archive)

    @pytest.mark.parametrize(("compression", "suffix"), COMPRESSIONS.items())
    @pytest.mark.parametrize("packer", [pack, pack_with_gnu_tar])
    @pytest.mark.parametrize("top", [".", "falcon-7b-instruct"])
    def test_a_plain_model_is_unpacked(
        self,
        tmp_path: Path,
        compression: str,
        suffix: str,
        packer: Callable[..., Path],
        top: str,
    ) -> None:
        write_files(tmp_path / "source" / top, model_files())
        archive = tmp_path / "models" / f"tiiuae--falcon-7b-instruct{suffix}"
        packer(tmp_path / "source", archive, compression)
        model = find_and_fetch(a_request(tmp_path, tmp_path / "models"))
        assert (model.source, model.repository, model.revision) == ("tarball", None, None)
        assert model.path is not None
        assert (model.path / "model.safetensors").is_file()

    @pytest.mark.parametrize("revision", [None, "main", COMMIT, COMMIT[:7]])
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_the_revision_is_chosen_as_in_a_cache(
        self, tmp_path: Path, compression: str, revision: str | None
    ) -> None:
        write_snapshot(tmp_path / "source")
        write_snapshot(tmp_path / "source", commit=OTHER_COMMIT, ref="v2")
        archive = pack(tmp_path / "source", tmp_path / "a", compression)
        model = find_and_fetch(a_request(tmp_path, tarball=archive, revision=revision))
        assert model.revision == COMMIT
        assert model.requested_revision == revision

    @pytest.mark.parametrize("compression", ["gzip", "zstd"])
    def test_a_missing_revision_in_a_compressed_tarball_is_an_error(
        self, tmp_path: Path, compression: str
    ) -> None:
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a", compression)
        request = a_request(tmp_path, tarball=archive, revision="1")
        with pytest.raises(RevisionNotFound, match="REVISION is '1'") as caught:
            find_and_fetch(request)
        assert caught.value.searched[-1].place == str(archive)
        with pytest.raises(RevisionNotFound, match="REVISION is '1'"):
            find_model(request)  # known without unpacking it again


class TestOnce:
    def test_a_model_on_the_disk_is_returned_as_it_is(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        request = a_request(tmp_path, tmp_path)
        model = find_model(request)
        assert fetch_model(model, request, unreachable) is model

    def test_a_later_run_finds_the_unpacked_model(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a.tar.gz", "gzip")
        request = a_request(tmp_path, tarball=archive)
        fetched = find_and_fetch(request)
        again = find_model(request)
        assert (again.source, again.path, again.archive) == ("tarball", fetched.path, None)
        assert again.on_disk
        assert leftovers(request) == []

    def test_another_model_of_the_same_tarball_is_unpacked_beside_it(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        write_snapshot(tmp_path / "source", "a/b")
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        first = find_and_fetch(a_request(tmp_path, tarball=archive))
        second = find_and_fetch(a_request(tmp_path, tarball=archive, model_id="a/b"))
        assert (first.repository, second.repository) == (FALCON, "a/b")
        assert first.path is not None
        assert first.path.is_dir()

    def test_a_second_run_waits_for_the_first_and_uses_its_result(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        1. The first run holds the lock and is in the middle of the archive.
        2. The second run comes to the lock.
        3. The first run continues.
        Result: both have the model; the second unpacked nothing.
        """
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        request = a_request(tmp_path, tarball=archive)
        model = find_model(request)
        second_is_at_the_lock = threading.Event()
        results: list[Model] = []
        lock = fcntl.flock

        def watched_lock(file: Any, operation: int) -> None:
            if threading.current_thread() is second:
                second_is_at_the_lock.set()
            lock(file, operation)

        second = threading.Thread(
            target=lambda: results.append(fetch_model(model, request, unreachable))
        )

        def start_the_second(progress: Progress) -> None:
            if not second_is_at_the_lock.is_set():
                second.start()
                assert second_is_at_the_lock.wait(timeout=10)

        monkeypatch.setattr(fcntl, "flock", watched_lock)
        first = fetch_model(model, request, start_the_second)
        second.join(timeout=10)
        assert results == [first]


class TestKilled:
    def test_a_partly_unpacked_model_is_not_found(self, tmp_path: Path) -> None:
        """
        1. A run is killed in the middle of the archive.
        2. A search finds the model still packed.
        3. A run unpacks it.
        Result: the model is complete, and the leftovers of the first run are removed.
        """
        write_snapshot(tmp_path / "source", files=model_files(size=8_000_000))
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        request = a_request(tmp_path, tarball=archive)
        script = (
            "import sys; from pathlib import Path\n"
            "from entrypoint.store.fetch import fetch_model\n"
            "from tests.support.models import a_request\n"
            "from entrypoint.store.search.find import find_model\n"
            "def pause(progress):\n"
            "    if progress.done > progress.total / 2:\n"
            "        print('midway', flush=True)\n"
            "        sys.stdin.read()\n"
            "request = a_request(Path(sys.argv[1]), tarball=Path(sys.argv[2]))\n"
            "fetch_model(find_model(request), request, pause)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(archive)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "midway\n"
            process.kill()
        assert leftovers(request) != []

        model = find_model(request)
        assert (model.archive, model.on_disk) == (archive, False)
        assert model.path is not None
        assert not model.path.exists()
        fetched = fetch_model(model, request, ignore_progress)
        assert fetched.bytes == sum(map(len, model_files(size=8_000_000).values()))
        assert leftovers(request) == []

    def test_an_interrupted_run_leaves_no_files(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        request = a_request(tmp_path, tarball=pack(tmp_path / "source", tmp_path / "a.tar"))

        def interrupt(progress: Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fetch_model(find_model(request), request, interrupt)
        assert leftovers(request) == []
        assert not find_model(request).on_disk


class TestRefused:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_an_unsafe_tarball_leaves_no_files(self, tmp_path: Path, compression: str) -> None:
        link = of_type(b"2", "../../../../../outside")
        snapshot = ("models--tiiuae--falcon-7b-instruct/snapshots/1/config.json", b"{}")
        tar = tar_of(snapshot, ("a", link))
        (tmp_path / "a.tar").write_bytes(compress(tar, compression))
        request = a_request(tmp_path, tarball=tmp_path / "a.tar")
        with pytest.raises(RefusedArtifact, match="'a' links to"):
            find_and_fetch(request)
        assert leftovers(request) == []

    @pytest.mark.parametrize("compression", ["gzip", "zstd"])
    def test_a_truncated_tarball_leaves_no_files(self, tmp_path: Path, compression: str) -> None:
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a", compression)
        archive.write_bytes(archive.read_bytes()[:-200])
        request = a_request(tmp_path, tarball=archive)
        with pytest.raises(RefusedArtifact):
            find_and_fetch(request)
        assert leftovers(request) == []

    def test_an_incomplete_model_in_a_complete_tarball_is_an_error_each_time(
        self, tmp_path: Path
    ) -> None:
        snapshot = write_snapshot(tmp_path / "source")
        (snapshot / "model.safetensors").resolve().unlink()
        request = a_request(tmp_path, tarball=pack(tmp_path / "source", tmp_path / "a.tar"))
        with pytest.raises(IncompleteModel, match=r"model\.safetensors"):
            find_and_fetch(request)
        with pytest.raises(IncompleteModel, match=r"model\.safetensors"):
            find_model(request)

    @pytest.mark.parametrize("compression", ["gzip", "zstd"])
    def test_a_tarball_without_a_model_is_an_error(self, tmp_path: Path, compression: str) -> None:
        write_files(tmp_path / "source", {"notes.txt": b"x"})
        archive = pack(tmp_path / "source", tmp_path / "a", compression)
        with pytest.raises(ModelNotFound, match="does not hold the model") as caught:
            find_and_fetch(a_request(tmp_path, tarball=archive))
        assert caught.value.variable == "MODEL_TARBALL"


class TestStorage:
    def request(self, tmp_path: Path) -> Request:
        write_snapshot(tmp_path / "source")
        return a_request(tmp_path, tarball=pack(tmp_path / "source", tmp_path / "a.tar"))

    def test_too_little_room_is_an_error_before_any_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = self.request(tmp_path)
        model = find_model(request)
        monkeypatch.setattr(room, "free_bytes", lambda folder: model.bytes - 1)
        expected = f"{model.bytes} bytes are needed and only {model.bytes - 1} are free"
        with pytest.raises(StorageError, match=expected) as caught:
            fetch_model(model, request, unreachable)
        assert caught.value.variable == "XDG_CACHE_HOME"
        assert "TMPDIR" in (caught.value.hint or "")

    def test_a_failed_write_leaves_no_files(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source", files=model_files(size=2_000_000))
        archive = pack(tmp_path / "source", tmp_path / "a.tar.gz", "gzip")
        request = a_request(tmp_path, tarball=archive)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
        try:
            with pytest.raises(StorageError, match="File too large"):
                find_and_fetch(request)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert leftovers(request) == []

    def test_a_scratch_folder_that_cannot_be_created_is_an_error(self, tmp_path: Path) -> None:
        request = self.request(tmp_path)
        request.scratch.write_text("in the way")
        with pytest.raises(StorageError, match=str(request.scratch)):
            find_and_fetch(request)


@pytest.mark.slow
class TestDownloaded:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize("in_place", [False, True])
    def test_the_model_in_the_tarball_is_downloaded_and_unpacked(
        self, tmp_path: Path, s3: S3StandIn, compression: str, in_place: bool
    ) -> None:
        stored(tmp_path, compression)
        request = a_request(tmp_path, model_id=URI, in_place=in_place)
        reports: list[Progress] = []
        model = fetch_model(find_model(request), request, reports.append)
        assert (model.source, model.repository, model.revision) == ("object-store", FALCON, COMMIT)
        assert model.on_disk
        assert (model.packed is not None) == (in_place and compression == "plain")
        assert model.path is not None
        assert (model.path / "config.json").read_bytes() == model_files()["config.json"]
        size = (tmp_path / "packed").stat().st_size
        assert Progress(size, size) in reports

        s3.requests.clear()
        later = find_model(request)
        assert (later.source, later.path, later.on_disk) == ("object-store", model.path, True)
        assert s3.requests == []

    def test_the_revision_is_chosen_in_the_tarball(self, tmp_path: Path, s3: S3StandIn) -> None:
        write_snapshot(tmp_path / "source", commit=OTHER_COMMIT, ref="v2")
        stored(tmp_path)
        model = find_and_fetch(a_request(tmp_path, model_id=URI, revision="v2"))
        assert model.revision == OTHER_COMMIT

    def test_a_plain_model_in_the_tarball_has_no_repository(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        put(pack(write_files(tmp_path / "source", model_files()), tmp_path / "a.tar"))
        model = find_and_fetch(a_request(tmp_path, model_id=URI))
        assert model.on_disk
        assert (model.source, model.repository) == ("object-store", None)

    def test_a_tarball_of_several_models_is_an_error_that_lists_them(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        write_snapshot(tmp_path / "source", "a/b")
        stored(tmp_path)
        error = failure(ModelNotFound, a_request(tmp_path, model_id=URI))
        assert isinstance(error, ModelNotFound)
        assert set(error.available) == {"a/b", FALCON}
        assert "MODEL_TARBALL=" in (error.hint or "")

    def test_an_interrupted_download_resumes(self, tmp_path: Path, s3: S3StandIn) -> None:
        stored(tmp_path, size=4 * MIB)
        request = a_request(tmp_path, model_id=URI)
        journal = journal_of(target_of(request.scratch, parse_uri(URI)))

        def fault(asked: Asked) -> str | None:
            """Refuse the fifth part when the other four have arrived."""
            if not (asked.range or "").startswith(f"bytes={4 * MIB}-"):
                return None
            for _ in range(600):
                if journal.exists() and len(json.loads(journal.read_bytes())["finished"]) == 4:
                    break
                time.sleep(0.05)
            return "AccessDenied"

        s3.fault = fault
        error = failure(StoreError, request)
        assert error.variable == "MODEL_ID"
        assert not find_model(request).on_disk
        s3.fault = lambda asked: None
        s3.requests.clear()
        assert find_and_fetch(request).on_disk
        assert len(s3.gets()) == 1

    def test_two_at_once_download_it_once(self, tmp_path: Path, s3: S3StandIn) -> None:
        stored(tmp_path)
        request = a_request(tmp_path, model_id=URI)
        models: list[Model] = []
        threads = [
            threading.Thread(target=lambda: models.append(find_and_fetch(request)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({model.path for model in models}) == 1
        assert len(models) == 2
        assert len(s3.gets()) == 1

    def test_the_process_that_serves_stays_small(self, tmp_path: Path, s3: S3StandIn) -> None:
        stored(tmp_path, size=4 * MIB)
        script = (
            "import os, sys; from pathlib import Path\n"
            "from entrypoint.store.fetch import fetch_model\n"
            "from entrypoint.store.search.find import find_model\n"
            "from entrypoint.store.model import Request\n"
            "scratch = Path(sys.argv[1])\n"
            f"request = Request({URI!r}, None, (), None, True, None, scratch, mount=scratch,"
            " environ=os.environ)\n"
            "fetch_model(find_model(request), request, lambda progress: None)\n"
            "assert not {'boto3', 'botocore'} & set(sys.modules)\n"
            "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
        )
        command = [sys.executable, "-c", script, str(tmp_path / "scratch")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert int(done.stdout) * 1024 < 50_000_000


class TestDownloadErrors:
    def test_a_missing_key_is_an_error_with_a_suggestion(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        stored(tmp_path, key=KEY.replace("7b", "40b"))
        error = failure(ModelNotFound, a_request(tmp_path, model_id=URI))
        assert (error.exit_code, error.variable) == (66, "MODEL_ID")
        assert "Did you mean" in error.message

    def test_an_object_that_is_no_tarball_is_refused(self, tmp_path: Path, s3: S3StandIn) -> None:
        open_s3().client.put_object(Bucket=BUCKET, Key=KEY, Body=b"no tarball" * 100)
        failure(RefusedArtifact, a_request(tmp_path, model_id=URI))

    def test_an_object_with_another_checksum_is_refused(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        open_s3().client.put_object(
            Bucket=BUCKET, Key=KEY, Body=b"other", Metadata={"sha256": "ab" * 32}
        )
        error = failure(RefusedArtifact, a_request(tmp_path, model_id=URI))
        assert "abab" in error.message
        assert error.variable == "MODEL_ID"

    def test_an_unwritable_scratch_directory_is_a_storage_error(
        self, tmp_path: Path, s3: S3StandIn
    ) -> None:
        stored(tmp_path)
        (tmp_path / "scratch").touch()
        error = failure(StorageError, a_request(tmp_path, model_id=URI))
        assert error.variable == "XDG_CACHE_HOME"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.slow
def test_memory_does_not_grow_with_the_tarball(tmp_path: Path, compression: str) -> None:
    write_snapshot(tmp_path / "source", files=model_files(size=100_000_000))
    archive = pack_with_gnu_tar(tmp_path / "source", tmp_path / "a", compression)
    script = (
        "import sys; from pathlib import Path\n"
        "from entrypoint.store.fetch import fetch_model\n"
        "from entrypoint.store.search.find import find_model\n"
        "from entrypoint.store.model import Request\n"
        "archive = Path(sys.argv[1])\n"
        "scratch = archive.parent / 's'\n"
        f"request = Request({FALCON!r}, None, (), archive, True, None, scratch, mount=scratch)\n"
        "fetch_model(find_model(request), request, lambda progress: None)\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    command = [sys.executable, "-c", script, str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 50_000_000
