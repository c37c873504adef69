"""A manifest is read as it was written, and nothing else is accepted as one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from entrypoint.store.disk.manifest import (
    Manifest,
    ManifestFile,
    derived_commit,
    load_manifest,
)

FILE = ManifestFile("größe/ü.json", 3, "a" * 64, "b" * 40)
MANIFEST = Manifest("org/name", "c" * 40, "inference-server 1", (FILE,))


def test_a_dumped_manifest_loads_as_it_was() -> None:
    assert load_manifest(MANIFEST.dump()) == MANIFEST


def test_the_length_does_not_depend_on_the_hashes() -> None:
    """The offsets in a tarball are computed before the hashes."""
    other = Manifest(
        "org/name", "0" * 40, "inference-server 1",
        (ManifestFile("größe/ü.json", 3, "0" * 64, "0" * 40),),
    )  # fmt: skip
    assert len(other.dump()) == len(MANIFEST.dump())


def test_names_are_readable_text() -> None:
    assert "größe/ü.json" in MANIFEST.dump().decode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "format None"),
        ({"files": [{"name": "x"}]}, "not a manifest"),
        ({"files": 7}, "not a manifest"),
        ({"repository": ...}, "not a manifest"),
        ({"files": [{"name": "x", "size": 1, "sha256": "xyz", "blob": "x"}]}, "invalid SHA-256"),
        ({"files": [{"name": "x", "size": 1, "sha256": "a" * 64, "blob": "x"}] * 2}, "twice"),
    ],
)
def test_an_invalid_manifest_is_refused_with_the_reason(
    change: dict[str, object], why: str
) -> None:
    document = json.loads(MANIFEST.dump()) | change
    document = {key: value for key, value in document.items() if value is not ...}
    with pytest.raises(ValueError, match=why):
        load_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": []}', b"[" * 100_000, b"\xff"])
def test_content_that_is_not_a_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not "):
        load_manifest(content)


def test_sha256sum_derives_the_same_commit(tmp_path: Path) -> None:
    """As documented: the sha256sum of the output of sha256sum."""
    names = {"b.txt": b"two", "a.txt": b"one", "B.txt": b"three"}
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
    script = "LC_ALL=C; export LC_ALL; sha256sum $(ls | sort) | sha256sum | cut -c1-40"
    by_hand = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, check=True)
    lines = subprocess.run(
        ["sha256sum", *names], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    files = [(line.split()[1], line.split()[0]) for line in lines]
    assert derived_commit(files) == by_hand.stdout.decode().strip()
