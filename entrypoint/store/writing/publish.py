"""Publishing a file or a folder: it gets its name once it is complete."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from entrypoint.store.writing.lock import is_at

NO_FOLDER_SYNC = frozenset({errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP})
"""Errors of a folder that cannot be flushed: of some network file systems, or not readable."""
REMOVED = ".removed"
"""Ends the name of a partial folder that is being removed."""


def partial_path(target: Path) -> Path:
    """Return the hidden name of a file or a folder that is still being written."""
    return target.with_name(f".{target.name}.partial")


def publish(
    partial: Path, target: Path, *, state: os.stat_result | None = None, durable: bool = True
) -> None:
    """Rename a complete file or folder to its final name, which replaces an existing file.

    Args:
        partial: The temporary name, in the same file system.
        target: The final name.
        state: The state of what this process has written. Where locks do nothing, another process
            may have put its own under the temporary name, which is not complete.
        durable: Whether the file must survive a power failure. Costs two flushes to the disk.

    Raises:
        OSError: It cannot be flushed or renamed, or another process has replaced it.
    """
    _check(partial, state)
    if durable:
        _flush(partial)
        _check(partial, state)  # a flush can take long
    os.replace(partial, target)
    if durable:
        _flush_folder(target.parent)


@contextmanager
def published(partial: Path, target: Path, *, durable: bool = True) -> Iterator[None]:
    """Publish a file or a folder, which exists, after the body has written it.

    It is removed if the body raises.
    """
    state = partial.stat()
    try:
        yield
        publish(partial, target, state=state, durable=durable)
    except BaseException:
        if is_at(state, partial):
            if partial.is_dir():
                discard(partial)
            else:
                partial.unlink(missing_ok=True)
        raise


def discard(partial: Path) -> None:
    """Remove a partial folder if there is one.

    It loses its name first: a process that may still be writing to it cannot publish it then.
    """
    removed = partial.with_name(f"{partial.name}{REMOVED}")
    shutil.rmtree(removed, ignore_errors=True)  # left by a killed process
    with suppress(FileNotFoundError):
        partial.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def _check(partial: Path, state: os.stat_result | None) -> None:
    if state is not None and not is_at(state, partial):
        raise OSError(errno.ESTALE, "another process has replaced it", str(partial))


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
