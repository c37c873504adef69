"""Folders appear complete or not at all, and what killed processes left is removed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from entrypoint.store.writing import room
from entrypoint.store.writing.complete_folder import make_folder, remove_leftovers
from entrypoint.store.writing.lock import lock_path, locked
from entrypoint.store.writing.publish import partial_path
from entrypoint.store.writing.room import NoRoom
from tests.support.file_locks import grant_every_lock


def unreachable(partial: Path) -> None:
    raise AssertionError("nothing is to be made")


def contents(folder: Path) -> list[str]:
    """The names in a folder, without the locks."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def test_a_folder_appears_once_it_is_filled(tmp_path: Path) -> None:
    target = tmp_path / "models" / "falcon-1"

    def fill(partial: Path) -> None:
        assert contents(target.parent) == [partial.name]
        (partial / "config.json").touch()

    make_folder(target, fill)
    assert contents(target.parent) == ["falcon-1"]
    assert contents(target) == ["config.json"]


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    def fail(partial: Path) -> None:
        (partial / "config.json").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path / "falcon-1", fail)
    assert contents(tmp_path) == []


def test_a_folder_that_is_complete_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "falcon-1").mkdir()
    make_folder(tmp_path / "falcon-1", unreachable)


def test_a_second_writer_waits_and_finds_the_folder_complete(tmp_path: Path) -> None:
    target = tmp_path / "falcon-1"
    second = threading.Thread(target=make_folder, args=(target, unreachable))

    def fill(partial: Path) -> None:
        second.start()
        second.join(0.3)
        assert second.is_alive()

    make_folder(target, fill)
    second.join(10)
    assert not second.is_alive()
    assert target.is_dir()


def test_too_little_room_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda folder: 9)
    with pytest.raises(NoRoom):
        make_folder(tmp_path / "falcon-1", unreachable, needed=10)
    assert contents(tmp_path) == []


def test_where_locks_do_nothing_only_a_complete_folder_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second writer removes what the first one has written."""
    grant_every_lock(monkeypatch)
    target = tmp_path / "falcon-1"

    def fill(partial: Path) -> None:
        (partial / "config.json").touch()
        make_folder(target, lambda second: (second / "whole").touch())
        assert contents(target) == ["whole"]

    with pytest.raises(OSError, match="another process has replaced it"):
        make_folder(target, fill)
    assert contents(target) == ["whole"]
    assert contents(tmp_path) == ["falcon-1"]


class TestLeftovers:
    def test_those_of_killed_processes_are_removed(self, tmp_path: Path) -> None:
        target = tmp_path / "models" / "falcon-1"
        for name in (".falcon-1.partial", ".falcon-1.7.partial", ".b-2.partial"):
            (target.parent / name / "blobs").mkdir(parents=True)
        with locked(lock_path(target)):
            remove_leftovers(target)
        assert not list(target.parent.glob(".*.partial"))

    def test_those_of_a_running_process_stay(self, tmp_path: Path) -> None:
        target, other = tmp_path / "falcon-1", tmp_path / "b-2"
        with locked(lock_path(target)), locked(lock_path(other)):
            partial_path(other).mkdir()
            remove_leftovers(target)
            assert partial_path(other).is_dir()

    def test_complete_folders_stay(self, tmp_path: Path) -> None:
        (tmp_path / "b-2").mkdir()
        with locked(lock_path(tmp_path / "falcon-1")):
            remove_leftovers(tmp_path / "falcon-1")
        assert (tmp_path / "b-2").is_dir()
