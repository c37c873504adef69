"""Snapshots: made at once, added to in an order that does no harm, and named last."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from entrypoint.store.hub.snapshot import check_name, has_size, place_files, write_refs
from tests.support.models import COMMIT, OTHER_COMMIT

FILES = {"config.json": "a" * 40, "model.safetensors": "b" * 64, "onnx/copy.safetensors": "b" * 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository's folder with blobs."""
    (tmp_path / "blobs").mkdir()
    for blob in FILES.values():
        (tmp_path / "blobs" / blob).write_text(blob)
    return tmp_path


def content(snapshot: Path) -> dict[str, str]:
    return {
        path.relative_to(snapshot).as_posix(): path.read_text()
        for path in snapshot.rglob("*")
        if path.is_file()
    }


class TestPlace:
    def test_links_as_the_hubs_client_makes_them(self, folder: Path) -> None:
        snapshot = place_files(folder, COMMIT, FILES)
        assert snapshot == folder / "snapshots" / COMMIT
        assert content(snapshot) == FILES
        assert os.readlink(snapshot / "config.json") == f"../../blobs/{'a' * 40}"
        nested = snapshot / "onnx" / "copy.safetensors"
        assert os.readlink(nested) == f"../../../blobs/{'b' * 64}"
        assert sorted(path.name for path in folder.iterdir()) == ["blobs", "snapshots"]

    def test_a_blob_that_is_missing_makes_no_snapshot(self, folder: Path) -> None:
        (folder / "blobs" / ("a" * 40)).unlink()
        with pytest.raises(FileNotFoundError):
            place_files(folder, COMMIT, FILES)
        assert not (folder / "snapshots").exists()

    def test_what_a_killed_process_left_is_removed(self, folder: Path) -> None:
        left = folder / "snapshots.partial" / OTHER_COMMIT
        left.mkdir(parents=True)
        place_files(folder, COMMIT, FILES)
        assert not left.parent.exists()

    def test_an_existing_snapshot_gets_its_weights_last(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place_files(folder, COMMIT, {"config.json": "a" * 40})
        made: list[str] = []
        link = Path.symlink_to

        def watched(path: Path, target: str) -> None:
            made.append(path.name)
            link(path, target)

        monkeypatch.setattr(Path, "symlink_to", watched)
        snapshot = place_files(folder, COMMIT, {**FILES, "z.json": "a" * 40})
        assert made == ["z.json", "model.safetensors", "copy.safetensors"]
        assert content(snapshot) == {**FILES, "z.json": "a" * 40}

    def test_a_link_to_something_else_is_replaced(self, folder: Path) -> None:
        snapshot = place_files(folder, COMMIT, FILES)
        (snapshot / "config.json").unlink()
        (snapshot / "config.json").symlink_to("../../blobs/gone")
        assert content(place_files(folder, COMMIT, FILES)) == FILES

    def test_a_file_system_without_links_gets_copies(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path, target: str) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))

        monkeypatch.setattr(Path, "symlink_to", refuse)
        for _ in range(2):  # again, with the blobs moved
            snapshot = place_files(folder, COMMIT, FILES)
            assert content(snapshot) == FILES
            assert list((folder / "blobs").iterdir()) == []

    def test_a_link_that_may_not_be_made_is_an_error(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path, target: str) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        monkeypatch.setattr(Path, "symlink_to", refuse)
        with pytest.raises(OSError, match="No space"):
            place_files(folder, COMMIT, FILES)


class TestRefs:
    def test_an_existing_default_stays(self, folder: Path) -> None:
        write_refs(folder, "v1", COMMIT)
        write_refs(folder, "pr/main", OTHER_COMMIT)
        refs = content(folder / "refs")
        assert refs == {"v1": COMMIT, "main": COMMIT, "pr/main": OTHER_COMMIT}
        write_refs(folder, "pr/main", COMMIT)
        write_refs(folder, "main", OTHER_COMMIT)
        assert content(folder / "refs") == {
            "v1": COMMIT, "main": OTHER_COMMIT, "pr/main": COMMIT
        }  # fmt: skip


@pytest.mark.parametrize("name", ["a", "a/b.json", "..a", "é b"])
def test_a_name_inside_the_folder_is_returned(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a\0"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        check_name(name)


def test_only_a_file_with_the_size_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    assert has_size(tmp_path / "a", 3)
    assert not has_size(tmp_path / "a", 2)
    assert not has_size(tmp_path / "b", 0)
    assert not has_size(tmp_path / "a" / "b", 0)
