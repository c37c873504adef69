"""Publishing: one rename, flushed to the disk where that matters, and nothing left after errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from entrypoint.store.writing.publish import partial_path, publish, published


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

    def write() -> None:
        if kind == "folder":
            (partial / "blobs").mkdir(parents=True)
        elif kind == "file":
            partial.touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), published(partial, tmp_path / "a"):
        write()
    assert os.listdir(tmp_path) == []
