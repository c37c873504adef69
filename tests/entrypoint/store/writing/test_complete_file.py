"""Files appear complete or not at all, large ones and small ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoint.errors import StorageError
from entrypoint.store.tarballs.tarball import find_tarballs
from entrypoint.store.writing.complete_file import complete_file, write_text
from entrypoint.store.writing.publish import partial_path
from tests.support.file_locks import grant_every_lock


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    with complete_file(target) as descriptor:
        os.write(descriptor, b"new")
        assert not find_tarballs(tmp_path)
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_bytes(b"old")

    def fail() -> None:
        with complete_file(target) as descriptor:
            os.write(descriptor, b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, complete_file(tmp_path / "no" / "a.tar"):
        pass
    assert raised.value.filename == str(tmp_path / "no")


def test_a_killed_process_leaves_a_file_that_is_overwritten(tmp_path: Path) -> None:
    partial_path(tmp_path / "a.tar").write_bytes(b"left by a longer run")
    with complete_file(tmp_path / "a.tar") as descriptor:
        os.write(descriptor, b"new")
    assert (tmp_path / "a.tar").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_second_writer_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    script = (
        "import sys; from pathlib import Path\n"
        "from entrypoint.store.writing.complete_file import complete_file\n"
        "with complete_file(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(StorageError, match="another process"), complete_file(target):
            pass
        assert partial_path(target).exists()
        other.kill()
        other.wait()
    with complete_file(target):
        pass
    assert target.exists()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    partial_path(tmp_path / "a.tar").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic"), complete_file(tmp_path / "a.tar"):
        pass
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_where_locks_do_nothing_only_a_complete_file_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second writer starts while the first one writes, and ends before it."""
    grant_every_lock(monkeypatch)
    target = tmp_path / "a.tar"

    def write_twice() -> None:
        with complete_file(target) as first:
            os.write(first, b"the first half")
            with complete_file(target) as second:
                os.write(second, b"second")
            assert target.read_bytes() == b"second"
            os.write(first, b", the other half")

    with pytest.raises(OSError, match="another process has replaced it"):
        write_twice()
    assert target.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a.tar"]


class TestText:
    def test_a_reader_finds_the_old_text_until_the_new_one_is_complete(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "a.json"
        write_text(target, "old and longer")
        replace = os.replace

        def check_and_replace(partial: Path, final: Path) -> None:
            assert partial.read_text() == "new"
            assert final.read_text() == "old and longer"
            replace(partial, final)

        monkeypatch.setattr(os, "replace", check_and_replace)
        write_text(target, "new")
        assert target.read_text() == "new"
        assert os.listdir(tmp_path) == ["a.json"]

    def test_a_killed_process_leaves_a_file_that_is_overwritten(self, tmp_path: Path) -> None:
        partial_path(tmp_path / "a.json").write_text("left by a longer run")
        write_text(tmp_path / "a.json", "new")
        assert (tmp_path / "a.json").read_text() == "new"
        assert os.listdir(tmp_path) == ["a.json"]

    def test_an_error_leaves_the_old_text(self, tmp_path: Path) -> None:
        write_text(tmp_path / "a.json", "old")
        with pytest.raises(UnicodeEncodeError):
            write_text(tmp_path / "a.json", "\ud800")
        assert (tmp_path / "a.json").read_text() == "old"
        assert os.listdir(tmp_path) == ["a.json"]

    def test_the_temporary_name_can_be_elsewhere(self, tmp_path: Path) -> None:
        (tmp_path / "refs").mkdir()
        (tmp_path / "refs.tmp").write_text("left by a longer run")
        write_text(tmp_path / "refs" / "main", "new", partial=tmp_path / "refs.tmp")
        assert (tmp_path / "refs" / "main").read_text() == "new"
        assert os.listdir(tmp_path) == ["refs"]

    def test_a_missing_folder_is_not_created(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write_text(tmp_path / "missing" / "a.json", "new")
