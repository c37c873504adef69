"""Publishing a file or a folder: it gets its name once it is complete."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_FOLDER_SYNC = frozenset({errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP})
"""Errors of a folder that cannot be flushed: of some network file systems, or not readable."""


def partial_path(target: Path) -> Path:
    """Return the hidden name of a file or a folder that is still being written."""
    return target.with_name(f".{target.name}.partial")


def publish(partial: Path, target: Path, *, durable: bool = True) -> None:
    """Rename a complete file or folder to its final name, which replaces an existing file.

    Args:
        partial: The temporary name, in the same file system.
        target: The final name.
        durable: Whether the file must survive a power failure. Costs two flushes to the disk.

    Raises:
        OSError: It cannot be flushed or renamed.
    """
    if durable:
        _flush(partial)
    os.replace(partial, target)
    if durable:
        _flush_folder(target.parent)


@contextmanager
def published(partial: Path, target: Path, *, durable: bool = True) -> Iterator[None]:
    """Publish a file or a folder after the body has written it; remove it if the body raises."""
    try:
        yield
        publish(partial, target, durable=durable)
    except BaseException:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    try:
        _flush(folder)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
