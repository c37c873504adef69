"""Push a file to a store with its SHA-256, and check the object afterwards."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import (
    InferenceServerError,
    ModelNotFound,
    StorageError,
    StoreError,
    UsageError,
)
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.objects.parts import MIB
from entrypoint.store.objects.store import ObjectStore
from entrypoint.store.progress import Counter, OnProgress


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        bytes: The object's size.
        sent_bytes: Bytes that this run sent; 0 if the object was already present.
        replaced: Whether the object had another content before.
    """

    bytes: int
    sent_bytes: int
    replaced: bool


def hash_file(path: Path, on_progress: OnProgress) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        ModelNotFound: The file does not exist.
        UsageError: It is a directory.
        StorageError: It cannot be read.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(MIB))
    try:
        with path.open("rb", buffering=0) as file:
            counter = Counter(os.fstat(file.fileno()).st_size, on_progress)
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                counter.advance(count)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def push(
    store: ObjectStore,
    source: Path,
    sha256: str,
    scratch: Path,
    workers: int,
    on_progress: OnProgress,
) -> Pushed:
    """Upload a file. The object appears, or changes, only when the upload is complete.

    Args:
        store: The object.
        source: The file.
        sha256: Its SHA-256, hexadecimal, for the object's metadata.
        scratch: Folder for the note about an unfinished upload.
        workers: How many parts to send in parallel.
        on_progress: Called with each change of the bytes that the store has.

    Raises:
        ModelNotFound: The bucket does not exist.
        StoreError: The store did not answer or refused, or has another content afterwards.
        StorageError: The file cannot be read.
    """
    before = store.find()
    size = source.stat().st_size
    advance = Counter(size, on_progress).advance
    if before is not None and (before.sha256, before.size) == (sha256, size):
        advance(size)
        return Pushed(size, 0, False)
    try:
        sent = store.put(source, sha256, scratch, workers, advance)
    except OSError as error:
        raise unreadable(source, error) from error
    after = store.find()
    if after is None or (after.sha256, after.size) != (sha256, size):
        stored = f"{after.size} bytes with SHA-256 {after.sha256}" if after else "no such object"
        raise StoreError(
            f"{store.uri} differs from the pushed file: the store has {stored}, the file has "
            f"{size} bytes with SHA-256 {sha256}.",
            hint="Check whether another program writes to the object or changes its metadata, then "
            "push it again.",
        )
    return Pushed(size, sent, before is not None)


def unreadable(path: Path, error: OSError) -> InferenceServerError:
    """Return the error for a file that cannot be read, or a note that cannot be written."""
    if path.is_dir():
        return UsageError(
            f"{path} is a directory.",
            hint=f"Pack it first: inference-server pack {path} -o MODEL.tar. Then push the "
            "tarball.",
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError) and not path.exists():
        return ModelNotFound(
            str(path), message=f"{path} does not exist.", variable=None,
            hint="Give the path of a tarball, as written by inference-server pack.",
        )  # fmt: skip
    return StorageError(
        f"{error.filename or path}: {why_unreadable(error)}.",
        hint="Name a tarball that this user can read.",
    )
