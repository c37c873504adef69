"""The contents of a tarball survive the catalogue's file, which may hold anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.store.disk.cache import Repository
from entrypoint.store.tarballs.contents import Contents, contents_from_json

ARCHIVE = Path("/mnt/models/falcon.tar")
CONTENTS = Contents(
    repositories={"a/b": Repository("a/b", ARCHIVE, ("1" * 40,), {"main": "1" * 40})},
    sizes={"a/b": 5, "": 7},
    formats={"a/b": ("bin", "safetensors")},
    plain=False,
    listed=True,
    compressed=False,
)


def test_contents_read_back_from_json_are_equal() -> None:
    written = json.dumps(CONTENTS.as_json())
    assert contents_from_json(ARCHIVE, json.loads(written)) == CONTENTS


@pytest.mark.parametrize("damage", [{"repositories": {"a/b": 1}}, {"sizes": None}, {"formats": []}])
def test_damaged_json_raises_a_documented_error(damage: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        contents_from_json(ARCHIVE, CONTENTS.as_json() | damage)


def test_missing_json_raises_a_documented_error() -> None:
    document = CONTENTS.as_json()
    del document["listed"]
    with pytest.raises(KeyError):
        contents_from_json(ARCHIVE, document)
