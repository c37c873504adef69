"""Where the bytes of a model's files lie, and that they are read from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrypoint.store.disk.digest import BLOCK
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.integrity import examine_model
from entrypoint.store.verification.contents import Content, folder_on_disk
from tests.support.hub_cache import write_hub_snapshot
from tests.support.hub_stand_in import blob_id
from tests.support.models import COMMIT, FALCON, model_files, sha256, write_files
from tests.support.problems import texts


class TestContent:
    def test_a_part_of_a_file_is_read_in_blocks(self, tmp_path: Path) -> None:
        whole = os.urandom(2 * BLOCK + 100)
        (tmp_path / "a").write_bytes(whole)
        content = Content(tmp_path / "a", 7, 2 * BLOCK)
        assert b"".join(bytes(block) for block in content.blocks()) == whole[7 : 7 + 2 * BLOCK]
        assert content.sha256() == sha256(whole[7 : 7 + 2 * BLOCK])

    def test_an_empty_content_has_no_blocks(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        assert list(Content(tmp_path / "a", 0, 0).blocks()) == []

    def test_a_truncated_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12")
        with pytest.raises(OSError, match="was truncated"):
            list(Content(tmp_path / "a", 0, 3).blocks())


class TestOnDisk:
    def test_a_snapshots_files_pass_the_checks_of_a_directory(self, tmp_path: Path) -> None:
        """The files of a snapshot are those that the checks of a directory see."""
        files = model_files(shards=2)
        snapshot = write_hub_snapshot(tmp_path, files=files)
        folder = folder_on_disk(snapshot.parent.parent)
        assert folder.repository == FALCON
        below = folder.below(f"snapshots/{COMMIT}")
        there = directory_files(snapshot)
        assert below.place == snapshot
        assert below.sizes == there.sizes
        assert below.blobs == {name: blob_id(name, files[name]) for name in files}
        assert all(below.read(name, 9, 2) == there.read(name, 9, 2) for name in files)
        assert examine_model(below) == examine_model(there)

    def test_blobs_may_be_on_another_disk(self, tmp_path: Path) -> None:
        """The folder of the blobs is a link, as where caches share them."""
        files = model_files()
        snapshot = write_hub_snapshot(tmp_path / "cache", files=files)
        blobs = snapshot.parent.parent / "blobs"
        blobs.rename(tmp_path / "elsewhere")
        blobs.symlink_to(tmp_path / "elsewhere")
        below = folder_on_disk(blobs.parent).below(f"snapshots/{COMMIT}")
        assert below.blobs == {name: blob_id(name, files[name]) for name in files}

    def test_a_dangling_link_is_a_problem(self, tmp_path: Path) -> None:
        write_files(tmp_path, model_files())
        (tmp_path / "x.json").symlink_to("none")
        below = folder_on_disk(tmp_path)
        assert texts(below.problems) == {"x.json": "dangling link to none"}
        assert below.sizes["x.json"] == 0


def test_signed_hidden_files_are_hashed_on_request(tmp_path: Path) -> None:
    """They are hashed where they are asked for, and nothing outside of the directory is."""
    (tmp_path / "outside").write_bytes(b"secret")
    source = write_files(tmp_path / "m", {"config.json": b"{}", ".cache/note": b"1"})
    complete = folder_on_disk(source).with_hidden({"config.json": "known"})
    wanted = frozenset({"config.json", ".cache/note", "none", "../outside"})
    assert complete(wanted) == {"config.json": "known", ".cache/note": sha256(b"1")}
