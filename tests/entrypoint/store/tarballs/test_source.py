"""The model to pack is found by each way to name it, or an error names the way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrypoint.errors import (
    ArtifactError,
    IncompleteModel,
    ModelNotFound,
    RevisionNotFound,
    UsageError,
)
from entrypoint.store.tarballs.source import find_source
from tests.support.hub_cache import write_hub_snapshot
from tests.support.hub_stand_in import blob_id
from tests.support.models import (
    COMMIT,
    FALCON,
    OTHER_COMMIT,
    model_files,
    write_files,
    write_snapshot,
)


class TestCache:
    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Path:
        write_snapshot(tmp_path / "cache", commit=OTHER_COMMIT, ref="v1")
        return write_hub_snapshot(tmp_path / "cache")

    def test_a_model_is_found_by_each_way_to_name_it(self, tmp_path: Path, snapshot: Path) -> None:
        cache = tmp_path / "cache"
        found = find_source(str(cache))
        assert (found.repository, found.commit, found.refs) == (FALCON, COMMIT, ("main",))
        assert find_source(str(snapshot.parent.parent)) == found
        assert find_source(str(snapshot)) == found
        assert find_source(FALCON, [tmp_path / "none", cache]) == found
        assert find_source(str(cache), revision=COMMIT[:7], repository=FALCON) == found

    def test_files_come_with_their_blobs(self, tmp_path: Path, snapshot: Path) -> None:
        found = find_source(str(tmp_path / "cache"))
        files = model_files()
        assert {file.name: file.blob for file in found.files} == {
            name: blob_id(name, content) for name, content in files.items()
        }
        assert [file.name for file in found.files] == sorted(files)
        assert found.bytes == sum(map(len, files.values()))

    def test_another_revision_is_found(self, tmp_path: Path, snapshot: Path) -> None:
        found = find_source(str(tmp_path / "cache"), revision="v1")
        assert (found.commit, found.refs) == (OTHER_COMMIT, ("v1",))
        other = snapshot.with_name(OTHER_COMMIT)
        assert find_source(str(other)).commit == OTHER_COMMIT

    def test_a_revision_that_contradicts_the_snapshot_is_refused(self, snapshot: Path) -> None:
        assert find_source(str(snapshot), revision="main").commit == COMMIT
        with pytest.raises(UsageError, match="is not the revision 'v1'"):
            find_source(str(snapshot), revision="v1")

    def test_a_missing_revision_is_reported(self, tmp_path: Path, snapshot: Path) -> None:
        with pytest.raises(RevisionNotFound, match="--revision is 'v2'") as raised:
            find_source(str(tmp_path / "cache"), revision="v2")
        assert "REVISION" not in f"{raised.value.message}{raised.value.hint}"

    def test_one_of_several_models_must_be_chosen(self, tmp_path: Path, snapshot: Path) -> None:
        write_snapshot(tmp_path / "cache", "a/b")
        with pytest.raises(UsageError, match="holds 2 models: a/b, tiiuae"):
            find_source(str(tmp_path / "cache"))
        assert find_source(str(tmp_path / "cache"), repository="a/b").repository == "a/b"
        with pytest.raises(ModelNotFound, match="does not hold 'a/c'"):
            find_source(str(tmp_path / "cache"), repository="a/c")

    def test_a_model_of_a_cache_cannot_be_renamed(self, snapshot: Path) -> None:
        with pytest.raises(UsageError, match="not 'a/b'"):
            find_source(str(snapshot.parent.parent), repository="a/b")

    def test_an_incomplete_model_is_refused(self, tmp_path: Path, snapshot: Path) -> None:
        os.unlink((snapshot / "model.safetensors").resolve())
        with pytest.raises(IncompleteModel, match=r"model\.safetensors \(dangling link"):
            find_source(str(tmp_path / "cache"))

    def test_plain_files_in_a_snapshot_have_no_blob(self, tmp_path: Path, snapshot: Path) -> None:
        """As caches on a disk without links have them; what lies elsewhere is no blob either."""
        (snapshot / "config.json").unlink()
        (snapshot / "config.json").write_bytes(b"{}")
        (tmp_path / ("a" * 64)).write_bytes(b"{}")
        (snapshot / "other.json").symlink_to(tmp_path / ("a" * 64))
        blobs = {file.name: file.blob for file in find_source(str(snapshot)).files}
        assert blobs["config.json"] is None
        assert blobs["other.json"] is None


class TestDirectory:
    def test_a_plain_directory_needs_a_name(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        with pytest.raises(UsageError, match="plain directory") as raised:
            find_source(str(tmp_path))
        assert raised.value.hint == "Name the model: --repository org/name"
        found = find_source(str(tmp_path), repository="a/b")
        assert (found.repository, found.commit, found.refs) == ("a/b", None, ("main",))
        assert {file.blob for file in found.files} == {None}

    def test_a_plain_directory_has_no_revision(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        with pytest.raises(UsageError, match="no revision 'main'"):
            find_source(str(tmp_path), repository="a/b", revision="main")

    def test_hidden_folders_are_left_out(self, tmp_path: Path) -> None:
        write_files(tmp_path, {**model_files(), ".cache/huggingface/x": b"1", ".git/HEAD": b"2"})
        found = find_source(str(tmp_path), repository="a/b")
        assert {file.name for file in found.files} == model_files().keys()

    def test_a_directory_without_a_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(IncompleteModel, match=r"config\.json \(missing\)"):
            find_source(str(tmp_path), repository="a/b")

    def test_a_name_that_is_not_utf8_is_refused(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_bytes(b"")
        with pytest.raises(ArtifactError, match="not UTF-8"):
            find_source(str(tmp_path), repository="a/b")


class TestMissing:
    def test_a_missing_repository_lists_the_searched_caches(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "cache")
        with pytest.raises(
            ModelNotFound, match="Did you mean 'tiiuae/falcon-7b-instruct'"
        ) as raised:
            find_source("tiiuae/falcon-7b", [tmp_path / "cache", tmp_path / "none"])
        assert "inference-server download tiiuae/falcon-7b" in (raised.value.hint or "")
        assert [attempt.outcome for attempt in raised.value.searched] == [
            "holds 1 other models",
            "does not exist",
        ]

    def test_a_missing_path_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound, match="does not exist"):
            find_source(str(tmp_path / "none"))

    def test_a_file_in_place_of_a_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"")
        with pytest.raises(UsageError, match="is a file"):
            find_source(str(tmp_path / "a.tar"))
