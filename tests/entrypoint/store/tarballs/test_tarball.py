"""Where tarballs are found, and where they are unpacked to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrypoint.store.tarballs.tarball import (
    find_tarballs,
    stem,
    unpack_target,
)
from entrypoint.store.writing.lock import lock_path
from entrypoint.store.writing.publish import partial_path
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
    def test_a_target_is_readable_and_stable(self, tmp_path: Path) -> None:
        archive = tmp_path / "falcon.tar"
        archive.write_bytes(b"1")
        target = unpack_target(tmp_path / "scratch", archive, FALCON)
        assert target.parent == tmp_path / "scratch" / "models"
        assert target.name.startswith("falcon-")
        assert unpack_target(tmp_path / "scratch", archive, FALCON) == target

    def test_another_content_time_place_or_model_has_another_target(self, tmp_path: Path) -> None:
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
        target.parent.mkdir()
        partial_path(target).touch()
        lock_path(target).touch()
