"""A file is there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoint.errors import StorageError
from entrypoint.store.tarballs.tarball import find_tarballs
from entrypoint.store.writing.whole_file import partial_file, whole_file


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    with whole_file(target) as descriptor:
        os.write(descriptor, b"new")
        assert not find_tarballs(tmp_path)
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_bytes(b"old")

    def fail() -> None:
        with whole_file(target) as descriptor:
            os.write(descriptor, b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    partial_file(tmp_path / "a.tar").write_bytes(b"left by a longer run")
    with whole_file(tmp_path / "a.tar") as descriptor:
        os.write(descriptor, b"new")
    assert (tmp_path / "a.tar").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_two_writers(tmp_path: Path) -> None:
    """1. The second is refused. 2. After the first has died it is not."""
    target = tmp_path / "a.tar"
    script = (
        "import sys; from pathlib import Path\n"
        "from entrypoint.store.writing.whole_file import whole_file\n"
        "with whole_file(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(StorageError, match="another process"), whole_file(target):
            pass
        assert partial_file(target).exists()
        other.kill()
        other.wait()
    with whole_file(target):
        pass
    assert target.exists()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    partial_file(tmp_path / "a.tar").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic"), whole_file(tmp_path / "a.tar"):
        pass
    assert (tmp_path / "victim").read_bytes() == b"precious"
