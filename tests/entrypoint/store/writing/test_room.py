"""Room is checked before anything is written, also for folders that do not exist yet."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from entrypoint.store.writing import room
from entrypoint.store.writing.room import NoRoom, check_room, free_bytes


def test_an_error_names_both_numbers_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda folder: 1000)
    check_room(tmp_path, 1000)
    with pytest.raises(NoRoom) as caught:
        check_room(tmp_path, 1001)
    assert str(caught.value) == "1,001 bytes are needed and only 1,000 are free"
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path)


def test_a_missing_folder_has_the_room_of_the_one_above(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "missing" / "below") > 0
