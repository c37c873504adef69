"""A snapshot in the hub client's layout: it appears when its blobs are complete.

The hub's own client writes the ref first and each link when its file arrives, so a killed download
looks like a model. Here a visible snapshot is complete.
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
from entrypoint.store.writing.publish import discard, publish

COMMIT = re.compile(r"[0-9a-f]{40}")
BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of a file system without symbolic links."""


def check_name(name: str) -> str:
    """Return the name of a repository's file or revision, if it stays in its folder.

    Raises:
        ValueError: It leads out of the folder, so its origin cannot be trusted.
    """
    parts = name.split("/")
    if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} cannot be the name of a file in a repository")
    return name


def has_size(path: Path, size: int) -> bool:
    """Whether a file exists and has this number of bytes."""
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False


def place_files(folder: Path, commit: str, blobs: Mapping[str, str]) -> Path:
    """Create the snapshot, or add files to it, and return its path.

    A new snapshot appears complete, by a rename. An existing one gets its weights last, so that no
    search treats it as a model before it is one. Only one process at a time may do this.

    Args:
        folder: ``models--org--name``.
        commit: The snapshot's commit.
        blobs: ``{file name: blob}`` of files whose blobs are complete.

    Raises:
        OSError: The folder cannot be written.
    """
    snapshot = folder / "snapshots" / commit
    # beside snapshots/, where every folder is a snapshot; equally deep, for the relative links
    partial = folder / "snapshots.partial" / commit
    discard(partial.parent)
    target = snapshot if snapshot.is_dir() else partial
    target.mkdir(parents=True, exist_ok=True)
    state = target.stat()
    uses = Counter(blobs.values())
    for name in sorted(blobs, key=lambda name: (is_weight(name), name)):
        blob = blobs[name]
        uses[blob] -= 1
        _place(folder / "blobs" / blob, target / name, folder, last=not uses[blob])
    if target is partial:
        snapshot.parent.mkdir(exist_ok=True)
        publish(partial, snapshot, state=state, durable=False)
        partial.parent.rmdir()
    return snapshot


def _place(blob: Path, path: Path, folder: Path, *, last: bool) -> None:
    """Link a file to its blob. Without symbolic links, move the blob or a copy there."""
    if path.exists() and (not blob.exists() or path.samefile(blob)):
        return
    blob.stat()  # fails for a missing blob, before a link to it exists
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
    """Write the snapshot's refs, once it exists. Only one process at a time may do this.

    A commit gets ``refs/<revision>`` too: the hub's own tools delete snapshots without a ref.
    ``refs/main``, the default revision for both those tools and us, is written if it is missing.

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
