"""Writing and checking a generated file."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.generated import run


def generate(path: Path, *argv: str) -> int:
    return run("python -m example", None, path, lambda: "new ü\n", list(argv))


def test_the_file_is_written_without_check(tmp_path: Path) -> None:
    assert generate(tmp_path / "file") == 0
    assert (tmp_path / "file").read_text(encoding="utf-8") == "new ü\n"


def test_another_file_can_be_written(tmp_path: Path) -> None:
    assert generate(tmp_path / "file", "--output", str(tmp_path / "other")) == 0
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "other").exists()


@pytest.mark.parametrize(("content", "status"), [("new ü\n", 0), ("old\n", 1), (None, 1)])
def test_check_compares_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, status: int
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert generate(path, "--check") == status
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == content
    error = capsys.readouterr().err
    assert ("Run: python -m example" in error) == (status == 1)
