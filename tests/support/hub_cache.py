"""Caches as the hub's client fills them: blobs called by SHA-256, small ones by git's SHA-1."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.hub_stand_in import blob_id
from tests.support.models import COMMIT, FALCON, write_snapshot


def write_hub_snapshot(
    root: Path,
    name: str = FALCON,
    commit: str = COMMIT,
    files: Mapping[str, bytes] | None = None,
    ref: str | None = "main",
) -> Path:
    """Write a snapshot with blobs of both kinds."""
    return write_snapshot(root, name, commit, files, ref, blob_id)


def contents_of(directory: Path) -> dict[str, bytes]:
    """``{name: content}`` of all files below a directory, links followed."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def extract(archive: Path, into: Path) -> Path:
    """Unpack a tarball with GNU tar, which must have nothing to complain about."""
    into.mkdir(parents=True)
    done = subprocess.run(
        ["tar", "-xf", archive, "-C", into], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return into
