"""Publishing: one rename, flushed to the disk where that matters, and nothing left after errors."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from entrypoint.store.writing.publish import REMOVED, discard, partial_path, publish, published


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were flushed and renamed, in order."""
    steps: list[str] = []
    replace = os.replace

    def record_flush(descriptor: int) -> None:
        steps.append("flush " + Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    def record_rename(partial: Path, target: Path) -> None:
        steps.append("rename " + target.name)
        replace(partial, target)

    monkeypatch.setattr(os, "fsync", record_flush)
    monkeypatch.setattr(os, "replace", record_rename)
    return steps


def test_the_content_is_flushed_before_the_name(tmp_path: Path, steps: list[str]) -> None:
    """Else a power failure can leave the name of a file without its content."""
    target = tmp_path / "a.tar"
    partial_path(target).touch()
    publish(partial_path(target), target)
    assert steps == ["flush .a.tar.partial", "rename a.tar", f"flush {tmp_path.name}"]


def test_nothing_is_flushed_that_need_not_be_durable(tmp_path: Path, steps: list[str]) -> None:
    target = tmp_path / "status.json"
    partial_path(target).touch()
    publish(partial_path(target), target, durable=False)
    assert steps == ["rename status.json"]


@pytest.mark.parametrize(
    ("code", "fails"), [(errno.EINVAL, False), (errno.EBADF, False), (errno.EIO, True)]
)
def test_a_file_system_that_cannot_flush_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, fails: bool
) -> None:
    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(code, "cannot be flushed")

    monkeypatch.setattr(os, "fsync", fsync)
    target = tmp_path / "a.tar"
    partial_path(target).touch()
    if fails:
        with pytest.raises(OSError, match="cannot be flushed"):
            publish(partial_path(target), target)
    else:
        publish(partial_path(target), target)
        assert target.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_an_error_removes_the_partial_one(tmp_path: Path, kind: str) -> None:
    partial = tmp_path / ".a.partial"
    if kind == "folder":
        (partial / "blobs").mkdir(parents=True)
    else:
        partial.touch()

    def write() -> None:
        if kind == "nothing":
            partial.unlink()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), published(partial, tmp_path / "a"):
        write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("ended", [True, False], ids=["after an error", "at its end"])
def test_what_another_process_put_there_is_neither_published_nor_removed(
    tmp_path: Path, durable: bool, ended: bool
) -> None:
    partial = tmp_path / ".a.partial"
    partial.write_bytes(b"complete")

    def write() -> None:
        partial.rename(tmp_path / "old")  # so that the new file gets another inode
        partial.write_bytes(b"half")
        if ended:
            raise KeyboardInterrupt

    with (
        pytest.raises((KeyboardInterrupt, OSError)) as raised,
        published(partial, tmp_path / "a", durable=durable),
    ):
        write()
    assert ended or "another process has replaced it" in str(raised.value)
    assert partial.read_bytes() == b"half"
    assert not (tmp_path / "a").exists()


class TestDiscard:
    def test_a_folder_is_removed_with_what_a_killed_removal_left(self, tmp_path: Path) -> None:
        for name in (".a.partial", f".a.partial{REMOVED}"):
            (tmp_path / name / "blobs").mkdir(parents=True)
        discard(tmp_path / ".a.partial")
        discard(tmp_path / ".a.partial")
        assert os.listdir(tmp_path) == []

    def test_it_loses_its_name_before_its_content(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else another process could publish it while files are missing already."""
        removed: list[str] = []
        monkeypatch.setattr(shutil, "rmtree", lambda path, **_: removed.append(path.name))
        (tmp_path / ".a.partial" / "blobs").mkdir(parents=True)
        discard(tmp_path / ".a.partial")
        assert set(removed) == {f".a.partial{REMOVED}"}
        assert os.listdir(tmp_path / f".a.partial{REMOVED}") == ["blobs"]
