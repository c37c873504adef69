"""A model with a URI: found without the network, in a store or where KServe mounts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import (
    ModelNotFound,
    RevisionNotFound,
    SettingError,
)
from entrypoint.store.search.artifact import target_of
from entrypoint.store.search.find import find_model
from entrypoint.store.uri import parse_uri
from tests.support.fetching import failure, find_and_fetch, stored
from tests.support.models import (
    COMMIT,
    FALCON,
    a_request,
    model_files,
    pack,
    write_files,
    write_snapshot,
)
from tests.support.object_stores import (
    URI,
    S3StandIn,
)

SECRET = "https://acc.blob.core.windows.net/c/a--b.tar?se=2030&sig=c2VjcmV0"


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
            ("https://example.com/a.tar", "is an address that this server does not download from"),
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
