"""A model in a plain directory, or in an unpacked tarball."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import IncompleteModel, RevisionNotFound, SeveralModels
from entrypoint.store.disk.cache import Snapshot
from entrypoint.store.disk.directory import (
    find_plain_model,
    folder_names,
    is_path,
    open_directory,
    open_unpacked,
)
from entrypoint.store.disk.loading import Loading
from tests.support.models import COMMIT, FALCON, model_files, write_files, write_snapshot

SIZE = sum(map(len, model_files().values()))


class TestIsPath:
    @pytest.mark.parametrize("model_id", ["/m", "./m", "../m", "~/m", "~"])
    def test_a_value_with_a_path_prefix_is_a_path(self, model_id: str) -> None:
        assert is_path(model_id)

    def test_the_name_of_an_existing_directory_is_a_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert not is_path(FALCON)
        (tmp_path / FALCON).mkdir(parents=True)
        assert is_path(FALCON)


def test_folder_names_are_those_of_the_guides_tarballs() -> None:
    assert folder_names(FALCON) == ("tiiuae--falcon-7b-instruct", "falcon-7b-instruct")
    assert folder_names("gpt2") == ("gpt2",)


class TestFindPlainModel:
    def test_the_root_itself_is_found(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        assert find_plain_model(tmp_path, ("other",)) == tmp_path

    def test_a_subfolder_with_the_name_is_found(self, tmp_path: Path) -> None:
        write_files(tmp_path / "falcon-7b-instruct", model_files())
        write_files(tmp_path / "other", model_files())
        assert find_plain_model(tmp_path, folder_names(FALCON)) == tmp_path / "falcon-7b-instruct"

    def test_the_only_subfolder_is_found_whatever_its_name(self, tmp_path: Path) -> None:
        write_files(tmp_path / "one", model_files())
        assert find_plain_model(tmp_path, None) == tmp_path / "one"

    def test_none_of_several_subfolders_is_chosen(self, tmp_path: Path) -> None:
        write_files(tmp_path / "one", model_files())
        write_files(tmp_path / "two", model_files())
        assert find_plain_model(tmp_path, None) is None


class TestOpenDirectory:
    def test_a_plain_model_is_opened(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        assert open_directory(tmp_path, None, Loading()) == Snapshot(tmp_path, None, None, SIZE)

    def test_a_snapshot_folder_is_opened_as_a_plain_model(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path)
        assert open_directory(path, None, Loading()) == Snapshot(path, None, None, SIZE)

    @pytest.mark.parametrize("folder", [".", "models--tiiuae--falcon-7b-instruct"])
    def test_the_only_model_of_a_cache_is_opened(self, tmp_path: Path, folder: str) -> None:
        path = write_snapshot(tmp_path)
        found = open_directory(tmp_path / folder, COMMIT[:7], Loading())
        assert found == Snapshot(path, FALCON, COMMIT, SIZE)

    def test_a_missing_revision_is_an_error(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        with pytest.raises(RevisionNotFound):
            open_directory(tmp_path, "v2", Loading())

    def test_a_cache_with_several_models_is_an_error_that_lists_them(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path)
        write_snapshot(tmp_path, "a/b")
        with pytest.raises(SeveralModels) as caught:
            open_directory(tmp_path, None, Loading())
        assert list(caught.value.available) == ["a/b", FALCON]

    def test_a_directory_without_a_model_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        with pytest.raises(IncompleteModel, match=r"config\.json"):
            open_directory(tmp_path, None, Loading())


class TestOpenTree:
    def test_the_requested_repository_is_opened(self, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path / "top")
        write_snapshot(tmp_path / "top", "a/b")
        assert open_unpacked(tmp_path, FALCON, None, Loading()) == Snapshot(
            path, FALCON, COMMIT, SIZE
        )

    def test_a_plain_model_in_a_subfolder_is_opened(self, tmp_path: Path) -> None:
        path = write_files(tmp_path / "checkpoint-100", model_files())
        assert open_unpacked(tmp_path, FALCON, None, Loading()) == Snapshot(path, None, None, SIZE)

    def test_another_repository_is_not_opened(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path, "a/b")
        write_files(tmp_path, model_files())
        assert open_unpacked(tmp_path, FALCON, None, Loading()) is None
