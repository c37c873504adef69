"""Caches as the hub's client fills them: blobs called by SHA-256, small ones by git's SHA-1."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from entrypoint.store.integrity import is_weight
from tests.entrypoint.store.samples import COMMIT, FALCON, model_files


def git_sha1(content: bytes) -> str:
    """What git calls a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    """The SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()


def blob_name(name: str, content: bytes) -> str:
    """What the hub's client calls a file's blob."""
    return sha256(content) if is_weight(name) else git_sha1(content)


def write_hub_snapshot(
    root: Path,
    name: str = FALCON,
    commit: str = COMMIT,
    files: Mapping[str, bytes] | None = None,
    ref: str | None = "main",
) -> Path:
    """Write a snapshot with blobs of both kinds."""
    folder = root / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    for file, content in (model_files() if files is None else files).items():
        blob = blob_name(file, content)
        (folder / "blobs" / blob).write_bytes(content)
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).symlink_to("../" * (2 + file.count("/")) + f"blobs/{blob}")
    if ref is not None:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return snapshot


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
