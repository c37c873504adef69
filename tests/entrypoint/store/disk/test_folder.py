"""Listing folders, and the reason if that fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from entrypoint.store.disk.folder import subfolders, why_unreadable


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "does not exist"),
        (errno.ENOTDIR, "is not a folder"),
        (errno.EACCES, f"permission denied for uid {os.geteuid()}"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_an_error_becomes_a_few_words(number: int, words: str) -> None:
    assert why_unreadable(OSError(number, os.strerror(number))) == words


def test_subfolders_include_links_to_folders(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    assert subfolders(tmp_path) == ["a", "b"]
