"""A model with a URI: found without the network, and downloaded once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from entrypoint.errors import (
    InferenceServerError,
    ModelNotFound,
    RefusedArtifact,
    RevisionNotFound,
    SettingError,
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
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    OTHER_COMMIT,
    a_request,
    model_files,
    pack,
    write_files,
    write_snapshot,
)
from tests.support.object_stores import (
    BUCKET,
    KEY,
    MIB,
    URI,
    Asked,
    S3StandIn,
    open_s3,
)

SECRET = "https://acc.blob.core.windows.net/c/a--b.tar?se=2030&sig=c2VjcmV0"


def stored(tmp_path: Path, compression: str = "plain", size: int = 16, key: str = KEY) -> None:
    """Put a tarball of Falcon into the bucket."""
    write_snapshot(tmp_path / "source", files=model_files(size=size))
    put(pack(tmp_path / "source", tmp_path / "packed", compression), key)


def put(archive: Path, key: str = KEY) -> None:
    open_s3().client.upload_file(str(archive), BUCKET, key)


def find_and_fetch(request: Request) -> Model:
    return fetch_model(find_model(request), request, ignore_progress)


def failure(kind: type[InferenceServerError], request: Request) -> InferenceServerError:
    with pytest.raises(kind) as caught:
        find_and_fetch(request)
    assert type(caught.value) is kind
    return caught.value


class TestFound:
    def test_a_uri_is_found_without_asking_the_store(self, tmp_path: Path, s3: S3StandIn) -> None:
        model = find_model(a_request(tmp_path, model_id=URI))
        assert (model.source, model.path, model.on_disk) == ("object-store", None, False)
        assert model.repository == FALCON  # from its name
        assert model.searched[-1].place == URI
        assert s3.requests == []

    @pytest.mark.parametrize("uri", ["s3://b/models/", "gs://b"])
    def test_a_folder_is_refused(self, tmp_path: Path, uri: str) -> None:
        error = failure(SettingError, a_request(tmp_path, model_id=uri))
        assert "which is a folder" in error.message
        assert error.variable == "MODEL_ID"

    @pytest.mark.parametrize(
        ("uri", "why"),
        [
            ("hdfs://b/a.tar", "is not a supported URI"),
            ("https://example.com/a.tar", "is not a supported URI"),
            ("s3:///a.tar", "has no bucket"),
        ],
    )
    def test_a_uri_that_cannot_be_downloaded_is_refused(
        self, tmp_path: Path, uri: str, why: str
    ) -> None:
        error = failure(SettingError, a_request(tmp_path, model_id=uri))
        assert error.message == f"MODEL_ID is {uri!r}, which {why}."
        assert "s3://bucket/key" in (error.hint or "")

    def test_the_error_for_a_hub_uri_suggests_the_repository(self, tmp_path: Path) -> None:
        error = failure(SettingError, a_request(tmp_path, model_id="hf://a/b"))
        assert error.hint == "Set MODEL_ID=a/b."

    def test_a_signature_is_not_shown(self, tmp_path: Path) -> None:
        model = find_model(a_request(tmp_path, model_id=SECRET))
        assert model.repository == "a/b"
        assert "c2VjcmV0" not in repr(model) + repr(a_request(tmp_path, model_id=SECRET))
        error = failure(
            SettingError, a_request(tmp_path, model_id=SECRET.replace("/a--b.tar", "/"))
        )
        assert "c2VjcmV0" not in error.message


class TestFetched:
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


class TestErrors:
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


class TestStorageUri:
    def test_a_download_of_kserve_is_not_repeated(self, tmp_path: Path, s3: S3StandIn) -> None:
        mount = tmp_path / "mnt" / "models"
        path = write_snapshot(mount)
        request = a_request(tmp_path, model_id=URI, storage_uri=URI, mount=mount)
        model = find_model(request)
        assert (model.source, model.path, model.repository) == ("directory", path, FALCON)
        by_name = a_request(tmp_path, mount, storage_uri=URI, mount=mount)
        assert find_model(by_name).path == path
        assert s3.requests == []

    def test_without_kserve_the_tarball_is_downloaded(self, tmp_path: Path, s3: S3StandIn) -> None:
        stored(tmp_path)
        mount = tmp_path / "mnt" / "models"
        request = a_request(tmp_path, mount, storage_uri=URI, mount=mount)
        assert (find_model(request).source, find_model(request).path) == ("object-store", None)
        model = find_and_fetch(request)
        assert (model.source, model.repository, model.revision) == ("object-store", FALCON, COMMIT)
        assert find_model(request).path == model.path

    def test_a_tarball_with_another_model_is_an_error(self, tmp_path: Path, s3: S3StandIn) -> None:
        stored(tmp_path)
        error = failure(ModelNotFound, a_request(tmp_path, model_id="a/b", storage_uri=URI))
        assert FALCON in error.message

    @pytest.mark.parametrize("uri", ["s3://b/folder", "s3://b/folder/", "pvc://claim/a"])
    def test_folders_and_volumes_are_left_to_kserve(self, tmp_path: Path, uri: str) -> None:
        error = failure(ModelNotFound, a_request(tmp_path, storage_uri=uri))
        assert isinstance(error, ModelNotFound)
        assert [attempt.way for attempt in error.searched] == ["hub"]

    def test_a_download_of_kserve_is_used_even_with_another_model(self, tmp_path: Path) -> None:
        mount = tmp_path / "mnt" / "models"
        write_snapshot(mount, "a/b")
        request = a_request(tmp_path, mount, storage_uri=URI, mount=mount)
        error = failure(ModelNotFound, request)
        assert "a/b" in error.message

    def test_a_cache_without_the_revision_comes_before_the_store(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache")
        request = a_request(tmp_path, tmp_path / "cache", storage_uri=URI, revision="v2")
        assert failure(RevisionNotFound, request).variable == "REVISION"

    def test_an_error_about_storage_uri_names_it(self, tmp_path: Path, s3: S3StandIn) -> None:
        error = failure(ModelNotFound, a_request(tmp_path, model_id=URI, storage_uri=URI))
        assert error.variable == "STORAGE_URI"


class TestMounted:
    def test_a_file_uri_of_a_directory_is_found(self, tmp_path: Path) -> None:
        path = write_files(tmp_path / "a model", model_files())
        model = find_model(a_request(tmp_path, model_id=f"file://{tmp_path}/a%20model"))
        assert (model.source, model.path, model.repository) == ("directory", path, None)
        assert "for MODEL_ID=file://" in model.searched[-1].outcome

    def test_a_file_uri_of_a_cache_is_found(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path / "cache")
        model = find_model(a_request(tmp_path, model_id=f"file://{tmp_path}/cache"))
        assert (model.path, model.repository, model.revision) == (path, FALCON, COMMIT)

    @pytest.mark.parametrize("place", ["", "/any.tar"])
    def test_a_file_uri_of_a_tarball_or_its_folder_is_found(
        self, tmp_path: Path, place: str
    ) -> None:
        write_snapshot(tmp_path / "source")
        pack(tmp_path / "source", tmp_path / "packed" / "any.tar")
        request = a_request(tmp_path, model_id=f"file://{tmp_path}/packed{place}")
        model = find_and_fetch(request)
        assert (model.source, model.repository, model.on_disk) == ("tarball", FALCON, True)

    @pytest.mark.parametrize("uri", ["pvc://claim/falcon/7b", "oci://registry/models/falcon:7b"])
    def test_a_volume_is_found_where_kserve_mounts_it(self, tmp_path: Path, uri: str) -> None:
        mount = tmp_path / "mnt" / "models"
        write_files(mount, model_files())
        model = find_model(a_request(tmp_path, model_id=uri, mount=mount))
        assert (model.source, model.path) == ("directory", mount)

    def test_a_volume_is_found_where_older_releases_of_kserve_mount_it(
        self, tmp_path: Path
    ) -> None:
        path = write_files(tmp_path / "mnt" / "pvc" / "falcon" / "7b", model_files())
        mount = tmp_path / "mnt" / "models"
        model = find_model(a_request(tmp_path, model_id="pvc://claim/falcon/7b", mount=mount))
        assert model.path == path

    @pytest.mark.parametrize("uri", ["pvc://claim/falcon", "oci://registry/falcon:7b"])
    @pytest.mark.parametrize("there", [False, True])
    def test_a_volume_that_is_not_mounted_is_an_error(
        self, tmp_path: Path, uri: str, there: bool
    ) -> None:
        mount = tmp_path / "mnt" / "models"
        if there:
            mount.mkdir(parents=True)
        error = failure(ModelNotFound, a_request(tmp_path, model_id=uri, mount=mount))
        assert str(mount) in error.message
        assert "KServe" in (error.hint or "")

    def test_a_file_uri_of_a_missing_path_is_an_error(self, tmp_path: Path) -> None:
        error = failure(ModelNotFound, a_request(tmp_path, model_id=f"file://{tmp_path}/none"))
        assert "does not exist" in error.message

    def test_a_folder_of_several_tarballs_is_an_error(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        for name in ("a.tar", "b.tar"):
            pack(tmp_path / "source", tmp_path / "packed" / name)
        error = failure(ModelNotFound, a_request(tmp_path, model_id=f"file://{tmp_path}/packed"))
        assert "a.tar, b.tar" in error.message


def test_the_target_has_the_object_s_name_and_no_secret() -> None:
    scratch = Path("/scratch")
    target = target_of(scratch, parse_uri(URI))
    assert target.name == "tiiuae--falcon-7b-instruct.tar"
    assert target != target_of(scratch, parse_uri(URI.replace("s3:", "gs:")))
    long = target_of(scratch, parse_uri(f"s3://b/{'a' * 300}.tar"))
    assert len(long.name) == 128
    assert long.suffix == ".tar"
