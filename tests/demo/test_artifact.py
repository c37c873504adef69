"""Repositories are written in the layout of the Hugging Face cache."""

import hashlib
from pathlib import Path

import pytest

from demo.artifact import (
    blob_name,
    commit_id,
    folder_name,
    git_blob_id,
    read_snapshot,
    total_bytes,
    write_repository,
)

FILES = {"config.json": b"{}\n", "model.safetensors": b"weights"}


def test_git_blob_id_is_that_of_git() -> None:
    """1. The known IDs of the empty file and of one line."""
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_weights_are_named_by_sha256_and_small_files_by_git() -> None:
    """2. The hub names its blobs in the same way."""
    assert blob_name("model.safetensors", b"x") == hashlib.sha256(b"x").hexdigest()
    assert blob_name("config.json", b"x") == git_blob_id(b"x")


def test_commit_depends_on_names_and_contents_alone() -> None:
    """3. Each name and digest matters, but not the order of the files."""
    commit = commit_id({"a": "1", "b": "2"})
    assert len(commit) == len(git_blob_id(b""))
    assert commit == commit_id({"b": "2", "a": "1"})
    assert commit != commit_id({"a": "1", "b": "3"})
    assert commit != commit_id({"a": "1", "c": "2"})


def test_folder_is_named_as_the_hub_names_it() -> None:
    """4. models--<org>--<name>."""
    assert folder_name("org/name") == "models--org--name"


class TestWriteRepository:
    """The complete folder."""

    def test_it_writes_blobs_refs_and_links(self, tmp_path: Path) -> None:
        """1. Blobs, refs without a newline, and relative links that lead to the blobs."""
        snapshot = write_repository(tmp_path, "org/name", FILES, refs=("main", "v1"))
        folder = tmp_path / "models--org--name"
        assert snapshot.parent == folder / "snapshots"
        assert (folder / "refs" / "main").read_text() == snapshot.name
        assert (folder / "refs" / "v1").read_text() == snapshot.name
        for name, content in FILES.items():
            link = snapshot / name
            assert link.readlink() == Path("../../blobs") / blob_name(name, content)
            assert link.read_bytes() == content

    def test_only_the_repository_remains(self, tmp_path: Path) -> None:
        """2. No temporary folder remains next to the repository."""
        write_repository(tmp_path, "org/name", FILES)
        assert [path.name for path in tmp_path.iterdir()] == ["models--org--name"]

    def test_an_older_snapshot_is_replaced(self, tmp_path: Path) -> None:
        """3. After a second run, only the second snapshot and its blobs exist."""
        write_repository(tmp_path, "org/name", FILES)
        snapshot = write_repository(tmp_path, "org/name", {"config.json": b"[]\n"})
        folder = tmp_path / "models--org--name"
        assert list((folder / "snapshots").iterdir()) == [snapshot]
        assert [path.name for path in (folder / "blobs").iterdir()] == [git_blob_id(b"[]\n")]

    def test_a_failure_keeps_the_older_snapshot(self, tmp_path: Path) -> None:
        """4. If a file cannot be written, the old snapshot stays complete."""
        snapshot = write_repository(tmp_path, "org/name", FILES)
        with pytest.raises(FileNotFoundError):
            write_repository(tmp_path, "org/name", {"no-such-folder/config.json": b"{}"})
        assert (snapshot / "config.json").read_bytes() == FILES["config.json"]
        assert [path.name for path in tmp_path.iterdir()] == ["models--org--name"]

    def test_links_are_not_counted_twice(self, tmp_path: Path) -> None:
        """5. The size is that of the blobs and refs."""
        snapshot = write_repository(tmp_path, "org/name", FILES)
        contents = sum(len(content) for content in FILES.values())
        assert total_bytes(tmp_path) == contents + len(snapshot.name)


class TestReadSnapshot:
    """The snapshot of a ref is found."""

    def test_a_written_snapshot_is_found(self, tmp_path: Path) -> None:
        """1. By the default ref."""
        snapshot = write_repository(tmp_path, "org/name", FILES)
        assert read_snapshot(tmp_path, "org/name") == snapshot

    def test_a_ref_to_a_missing_snapshot_is_an_error(self, tmp_path: Path) -> None:
        """2. The error names the ref."""
        write_repository(tmp_path, "org/name", FILES)
        (tmp_path / "models--org--name" / "refs" / "main").write_text("0" * 40)
        with pytest.raises(FileNotFoundError, match="refs/main"):
            read_snapshot(tmp_path, "org/name")
