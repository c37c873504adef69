"""A snapshot as the hub's client keeps it: made at once when all its blobs are there, then named.

The hub's own client writes the ref first and the snapshot's links as the files come, so that a
download that was killed looks like a model. Here a snapshot that can be seen is whole.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from entrypoint.store.disk.integrity import is_weight
from entrypoint.store.writing.complete_file import write_text
from entrypoint.store.writing.publish import publish

COMMIT = re.compile(r"[0-9a-f]{40}")
BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a file system says that has no symbolic links."""


def check_name(name: str) -> str:
    """Return the name of a repository's file or revision, if it stays in its folder.

    Raises:
        ValueError: It does not; whoever lists it is not to be trusted.
    """
    parts = name.split("/")
    if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} cannot be the name of a file in a repository")
    return name


def is_placed(folder: Path, commit: str, name: str, size: int) -> bool:
    """Whether a file is in the snapshot with its size in bytes, as a link or by itself."""
    return has_size(folder / "snapshots" / commit / name, size)


def has_size(path: Path, size: int) -> bool:
    """Whether a file is there and has so many bytes."""
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False


def place_files(folder: Path, commit: str, blobs: Mapping[str, str]) -> Path:
    """Make the snapshot, or add to it, and return its path.

    A new one appears whole, by a rename. To one that is there the weights are added last, so that
    it is not taken for a model before it is one. Only one process at a time may do this.

    Args:
        folder: ``models--org--name``.
        commit: Of the snapshot.
        blobs: ``{file name: blob}`` of files whose blobs are there.

    Raises:
        OSError: The folder cannot be written.
    """
    snapshot = folder / "snapshots" / commit
    # beside snapshots/, for whatever is in there is taken for one; as deep, for the links
    partial = folder / "snapshots.partial" / commit
    shutil.rmtree(partial.parent, ignore_errors=True)
    target = snapshot if snapshot.is_dir() else partial
    uses = Counter(blobs.values())
    for name in sorted(blobs, key=lambda name: (is_weight(name), name)):
        blob = blobs[name]
        uses[blob] -= 1
        _place(folder / "blobs" / blob, target / name, folder, last=not uses[blob])
    if target is partial:
        partial.mkdir(parents=True, exist_ok=True)  # a snapshot of no files
        snapshot.parent.mkdir(exist_ok=True)
        publish(partial, snapshot, durable=False)
        partial.parent.rmdir()
    return snapshot


def _place(blob: Path, path: Path, folder: Path, *, last: bool) -> None:
    """Link a file to its blob; where there are no symbolic links, move the blob or a copy there."""
    if path.exists() and (not blob.exists() or path.samefile(blob)):
        return
    blob.stat()  # a link to nothing is never made
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if not last:
            copy = blob.with_name(f"{blob.name}.copy.incomplete")
            shutil.copyfile(blob, copy)
            blob = copy
        publish(blob, path, durable=False)


def write_refs(folder: Path, revision: str, commit: str) -> None:
    """Name the snapshot, once it is there. Only one process at a time may do this.

    ``refs/<revision>`` is written for a commit too: the hub's own tools take a snapshot without a
    ref for one that may be deleted. ``refs/main`` is what both they and we choose by where no
    revision is asked for, so it is written where there is none.

    Raises:
        OSError: The folder cannot be written.
    """
    refs = folder / "refs"
    named = [refs / revision]
    if not (refs / "main").exists():
        named.append(refs / "main")
    for ref in dict.fromkeys(named):
        ref.parent.mkdir(parents=True, exist_ok=True)
        # The hub's client treats every file in refs/ as a ref.
        write_text(ref, commit, partial=folder / "refs.tmp", durable=False)
