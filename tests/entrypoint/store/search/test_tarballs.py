"""Finding a model in a tarball, and the error if it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import (
    ModelNotFound,
    RefusedArtifact,
    RevisionNotFound,
    SearchedPlace,
)
from entrypoint.store.search.find import find_model
from tests.support.models import (
    COMMIT,
    COMPRESSIONS,
    FALCON,
    a_request,
    model_files,
    pack,
    write_files,
    write_snapshot,
)
from tests.support.searches import miss

SIZE = sum(map(len, model_files().values()))


class TestTarball:
    @pytest.mark.parametrize(("compression", "suffix"), COMPRESSIONS.items())
    @pytest.mark.parametrize("top", [".", "tiiuae--falcon-7b-instruct"])
    def test_a_tarball_in_a_cache_root_is_found_whatever_its_name(
        self, tmp_path: Path, compression: str, suffix: str, top: str
    ) -> None:
        write_snapshot(tmp_path / "source" / top)
        archive = pack(tmp_path / "source", tmp_path / "models" / f"x{suffix}", compression)
        model = find_model(a_request(tmp_path, tmp_path / "models"))
        assert (model.source, model.archive, model.repository) == ("tarball", archive, FALCON)
        assert not model.on_disk
        assert model.path is not None
        assert model.path.parent == tmp_path / "scratch" / "models"
        assert model.revision == (COMMIT if compression == "plain" else None)
        assert not (tmp_path / "scratch").exists()

    @pytest.mark.parametrize("directory", [True, False])
    def test_the_tarball_of_model_tarball_is_found(self, tmp_path: Path, directory: bool) -> None:
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "tarballs" / "a.tar")
        named = archive.parent if directory else archive
        assert find_model(a_request(tmp_path, tarball=named)).archive == archive

    def test_the_cache_comes_before_a_tarball(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache")
        archive = pack(tmp_path / "cache", tmp_path / "a.tar")
        model = find_model(a_request(tmp_path, tmp_path / "cache", tarball=archive))
        assert model.source == "cache"

    def test_a_tarball_comes_before_an_incomplete_model_in_the_cache(self, tmp_path: Path) -> None:
        snapshot = write_snapshot(tmp_path / "cache")
        archive = pack(tmp_path / "cache", tmp_path / "cache" / "a.tar")
        (snapshot / "config.json").unlink()
        assert find_model(a_request(tmp_path, tmp_path / "cache")).archive == archive

    def test_the_size_in_an_uncompressed_tarball_is_that_of_the_requested_model(
        self, tmp_path: Path
    ) -> None:
        write_snapshot(tmp_path / "source", "a/b", files=model_files(size=9999))
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        model = find_model(a_request(tmp_path, tarball=archive))
        assert SIZE <= model.bytes < 9999

    @pytest.mark.parametrize("name", ["falcon-7b-instruct.tar", "tiiuae--falcon-7b-instruct.tar"])
    def test_a_plain_model_is_found_by_the_tarball_s_name(self, tmp_path: Path, name: str) -> None:
        write_files(tmp_path / "source", model_files())
        archive = pack(tmp_path / "source", tmp_path / "models" / name)
        model = find_model(a_request(tmp_path, tmp_path / "models"))
        assert (model.archive, model.repository, model.bytes) == (archive, None, SIZE)

    def test_a_plain_model_in_model_tarball_is_found_whatever_its_name(
        self, tmp_path: Path
    ) -> None:
        write_files(tmp_path / "source", model_files())
        archive = pack(tmp_path / "source", tmp_path / "checkpoint.tar")
        assert find_model(a_request(tmp_path, tarball=archive)).archive == archive

    def test_a_plain_model_in_a_tarball_of_another_name_is_not_used(self, tmp_path: Path) -> None:
        write_files(tmp_path / "source", model_files())
        archive = pack(tmp_path / "source", tmp_path / "models" / "checkpoint.tar")
        error = miss(ModelNotFound, tmp_path, tmp_path / "models")
        outcome = next(a.outcome for a in error.searched if a.place == str(archive))
        assert "set MODEL_TARBALL to this file" in outcome

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_model_tarball_with_another_model_is_an_error(
        self, tmp_path: Path, compression: str
    ) -> None:
        write_snapshot(tmp_path / "source", "a/b")
        archive = pack(tmp_path / "source", tmp_path / "x", compression)
        error = miss(ModelNotFound, tmp_path, tarball=archive, offline=False)
        assert "holds a/b" in error.message
        assert error.variable == "MODEL_TARBALL"

    def test_model_tarball_without_a_model_is_an_error(self, tmp_path: Path) -> None:
        write_files(tmp_path / "source", {"notes.txt": b"x"})
        archive = pack(tmp_path / "source", tmp_path / "falcon.tar")
        error = miss(ModelNotFound, tmp_path, tarball=archive)
        assert "holds no model" in error.message

    def test_the_error_lists_models_in_other_tarballs(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source", "a/b")
        archive = pack(tmp_path / "source", tmp_path / "models" / "b.tar")
        error = miss(ModelNotFound, tmp_path, tmp_path / "models")
        assert SearchedPlace("tarball", str(archive), "holds a/b") in error.searched
        assert error.available == {"a/b": ("main", COMMIT)}

    def test_an_uncompressed_tarball_without_the_revision_is_an_error(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "a.tar")
        error = miss(RevisionNotFound, tmp_path, tarball=archive, revision="1")
        assert COMMIT in error.message
        assert str(archive) in error.message

    def test_a_damaged_model_tarball_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"no tarball")
        with pytest.raises(RefusedArtifact, match=r"a\.tar"):
            find_model(a_request(tmp_path, tarball=tmp_path / "a.tar", offline=False))

    def test_a_damaged_tarball_with_the_model_s_name_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "falcon-7b-instruct.tar").write_bytes(b"no tarball")
        with pytest.raises(RefusedArtifact, match="falcon-7b-instruct"):
            find_model(a_request(tmp_path, tmp_path))

    def test_a_damaged_tarball_of_another_name_is_skipped(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"no tarball")
        write_snapshot(tmp_path / "source")
        archive = pack(tmp_path / "source", tmp_path / "b.tar")
        model = find_model(a_request(tmp_path, tmp_path, model_id=FALCON))
        assert model.source == "cache"  # source/ is a folder of the root
        model = find_model(a_request(tmp_path, tarball=tmp_path))
        assert model.archive == archive
        assert "truncated" in model.searched[-2].outcome
