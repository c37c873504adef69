"""The files of a model directory: their sizes, their contents, and those that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrypoint.errors import Problem, ProblemKind
from entrypoint.store.disk.files import directory_files
from tests.support.models import run_unprivileged, write_files


def test_files_in_folders_are_listed_with_their_sizes(tmp_path: Path) -> None:
    write_files(tmp_path, {"config.json": b"{}", "sub/deep/a.txt": b"123"})
    files = directory_files(tmp_path)
    assert files.sizes == {"config.json": 2, "sub/deep/a.txt": 3}
    assert files.problems == {}


def test_hidden_folders_are_left_out_and_hidden_files_are_not(tmp_path: Path) -> None:
    write_files(tmp_path, {".git/config": b"x", "sub/.cache/a": b"x", ".gitattributes": b"x"})
    assert list(directory_files(tmp_path).sizes) == [".gitattributes"]


def test_a_link_counts_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    write_files(tmp_path, {"blobs/1": b"1234"})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").symlink_to("../blobs/1")
    files = directory_files(tmp_path / "model")
    assert files.sizes == {"a": 4}
    assert files.read("a") == b"1234"


def test_a_dangling_link_is_a_problem_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("../gone")
    files = directory_files(tmp_path)
    assert files.sizes == {"a": 0}
    assert files.problems == {"a": Problem(ProblemKind.DANGLING, "dangling link to ../gone")}


def test_a_link_to_itself_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    problem = directory_files(tmp_path).problems["a"]
    assert problem.kind is ProblemKind.UNREADABLE


@pytest.mark.parametrize(
    ("count", "offset", "content"), [(-1, 0, b"0123"), (2, 1, b"12"), (9, 3, b"3"), (1, 4, b"")]
)
def test_part_of_a_file_is_read(tmp_path: Path, count: int, offset: int, content: bytes) -> None:
    write_files(tmp_path, {"a": b"0123"})
    assert directory_files(tmp_path).read("a", count, offset) == content


def test_a_missing_directory_is_a_problem_of_its_own_name(tmp_path: Path) -> None:
    problems = directory_files(tmp_path / "gone").problems
    assert problems == {".": Problem(ProblemKind.MISSING, "does not exist")}


def test_unreadable_files_and_folders_are_denied(public_path: Path) -> None:
    write_files(public_path, {"a": b"1", "sub/b": b"2", "c": b"3"})
    os.chmod(public_path / "a", 0)
    os.chmod(public_path / "sub", 0)
    script = (
        "problems = directory_files(Path(sys.argv[1])).problems\n"
        "print(sorted((name, p.kind.name) for name, p in problems.items()))"
    )
    done = run_unprivileged(script, public_path)
    assert done.stdout.strip() == "[('a', 'DENIED'), ('sub', 'DENIED')]"
