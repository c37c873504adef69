"""The kernel's files are read, and missing ones are empty."""

from pathlib import Path

from entrypoint.hardware.kernel_files import read_number, read_table, read_text


def test_text_is_stripped(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("0x10de\n")
    assert read_text(tmp_path / "a") == "0x10de"


def test_a_number_is_read_and_other_text_is_none(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("3000\n")
    (tmp_path / "none").write_text("max\n")
    assert (read_number(tmp_path / "limit"), read_number(tmp_path / "none")) == (3000, None)


def test_lines_without_a_name_and_a_number_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("anon 1\nfile x\nodd\na b 3\ncache 2\n")
    assert read_table(tmp_path / "a") == {"anon": 1, "cache": 2}


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert (read_text(missing), read_number(missing), read_table(missing)) == ("", None, {})
