"""Where tarballs are found, and where they are unpacked to."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from entrypoint.store.tarballs.tarball import (
    find_tarballs,
    locked,
    partial_target,
    remove_leftovers,
    stem,
    unpack_target,
)
from tests.support.models import FALCON


def test_each_kind_is_found_in_the_folder_itself(tmp_path: Path) -> None:
    names = ["a.tar", "b.tar.gz", "c.tgz", "d.tar.zst"]
    for name in [*names, "e.zip", "f.tar.part", "g.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "h.tar").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "i.tar").touch()
    assert [path.name for path in find_tarballs(tmp_path)] == names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("falcon-40b-instruct.tar", "falcon-40b-instruct"),
        ("tiiuae--falcon-7b-instruct.tar.gz", "tiiuae--falcon-7b-instruct"),
        ("Llama-3.1-8B.tgz", "Llama-3.1-8B"),
        ("a.tar.zst", "a"),
        ("model", "model"),
    ],
)
def test_the_stem_is_the_name_without_its_suffix(name: str, expected: str) -> None:
    assert stem(Path("/mnt/models", name)) == expected


class TestUnpackTarget:
    def test_it_can_be_read_and_stays_the_same(self, tmp_path: Path) -> None:
        archive = tmp_path / "falcon.tar"
        archive.write_bytes(b"1")
        target = unpack_target(tmp_path / "scratch", archive, FALCON)
        assert target.parent == tmp_path / "scratch" / "models"
        assert target.name.startswith("falcon-")
        assert unpack_target(tmp_path / "scratch", archive, FALCON) == target

    def test_another_content_time_place_or_model_is_another_target(self, tmp_path: Path) -> None:
        archive = tmp_path / "falcon.tar"
        archive.write_bytes(b"1")
        os.utime(archive, ns=(1, 1))
        targets = {unpack_target(tmp_path, archive, FALCON), unpack_target(tmp_path, archive, "b")}
        os.utime(archive, ns=(1, 2))
        targets.add(unpack_target(tmp_path, archive, FALCON))
        archive.write_bytes(b"12")
        os.utime(archive, ns=(1, 1))
        targets.add(unpack_target(tmp_path, archive, FALCON))
        (tmp_path / "copy").mkdir()
        copy = tmp_path / "copy" / "falcon.tar"
        copy.write_bytes(b"1")
        os.utime(copy, ns=(1, 1))
        targets.add(unpack_target(tmp_path, copy, FALCON))
        assert len(targets) == 5

    def test_a_long_name_leaves_room_for_the_names_beside_it(self, tmp_path: Path) -> None:
        archive = tmp_path / ("x" * 240 + ".tar")
        archive.touch()
        target = unpack_target(tmp_path, archive, FALCON)
        with locked(target):
            partial_target(target).mkdir()


class TestLeftovers:
    def test_those_of_dead_runs_are_removed(self, tmp_path: Path) -> None:
        target = tmp_path / "models" / "falcon-1"
        with locked(target):
            for name in (".falcon-1.7.partial", ".falcon-1.1234567.partial", ".b-2.7.partial"):
                (target.parent / name / "blobs").mkdir(parents=True)
            remove_leftovers(target)
        assert not list(target.parent.glob(".*.partial"))

    def test_those_of_a_living_run_are_not(self, tmp_path: Path) -> None:
        target = tmp_path / "models" / "falcon-1"
        other = tmp_path / "models" / "b-2"
        with locked(target), locked(other):
            partial_target(other).mkdir()
            remove_leftovers(target)
            assert partial_target(other).is_dir()

    def test_whole_models_are_not(self, tmp_path: Path) -> None:
        target = tmp_path / "models" / "falcon-1"
        whole = tmp_path / "models" / "b-2"
        whole.mkdir(parents=True)
        with locked(target):
            remove_leftovers(target)
        assert whole.is_dir()


def test_the_lock_is_held_inside_and_free_after(tmp_path: Path) -> None:
    target = tmp_path / "models" / "falcon-1"
    with locked(target):
        file = (target.parent / ".falcon-1.lock").open("a")
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
