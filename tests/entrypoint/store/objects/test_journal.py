"""The journal: which parts count as finished, and for what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.store.objects.journal import Journal
from entrypoint.store.objects.store import ObjectState

STATE = ObjectState(100, '"etag"', "v1")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / ".a.partial.json", "s3://bucket/a", STATE, 10)


def test_recorded_parts_are_finished(journal: Journal) -> None:
    journal.record({3, 1})
    journal.record({3, 1, 2})
    assert journal.finished() == {1, 2, 3}


def test_without_a_file_no_part_is_finished(journal: Journal) -> None:
    assert journal.finished() == set()


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "s3://bucket/b"},
        {"state": replace(STATE, etag='"other"')},
        {"state": replace(STATE, version="v2")},
        {"state": replace(STATE, size=101)},
        {"part_size": 20},
    ],
)
def test_parts_of_something_else_do_not_count(journal: Journal, change: dict[str, object]) -> None:
    replace(journal, **change).record({1})  # type: ignore[arg-type]
    assert journal.finished() == set()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'{"finished": 3}', b'{"finished": [1]}', b"\xff"]
)
def test_no_part_of_a_damaged_journal_counts(journal: Journal, content: bytes) -> None:
    journal.path.write_bytes(content)
    assert journal.finished() == set()
