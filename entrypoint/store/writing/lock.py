"""Locks between processes, also of different containers that share a volume."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_BETWEEN_TRIES = 0.1
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of a file system that has no locks."""
MODE = 0o666  # before the umask


def lock_path(target: Path) -> Path:
    """Return the lock file beside a file or folder that cannot be locked itself."""
    return target.with_name(f".{target.name}.lock")


@contextmanager
def locked(
    path: Path,
    *,
    on_wait: Callable[[], None] = lambda: None,
    pause: Callable[[float], None] = time.sleep,
    optional: bool = False,
    fresh: bool = False,
) -> Iterator[int]:
    """Hold the exclusive lock of a file, which is created if it is missing.

    The kernel releases the lock when the process ends, even if it is killed.

    Some network file systems grant a lock to two hosts at once. So a holder must not harm what
    another one writes: it asks for a fresh file, or it writes only what the other one writes too.

    Args:
        path: The file. A symbolic link in its place is not followed.
        on_wait: Called once if another process holds the lock. It may raise, to give up.
        pause: Called with the seconds between two tries. It may raise too.
        optional: Whether to continue without a lock if the file system has none.
        fresh: Whether to replace an existing file by a new, empty one. A process that still
            writes to the old one then writes to a file without a name.

    Yields:
        The file's descriptor, open for reading and writing.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    waiting = False
    while True:
        descriptor, is_new = _open(path)
        try:
            if not _try_lock(descriptor, optional=optional):
                if not waiting:
                    on_wait()
                waiting = True
                pause(SECONDS_BETWEEN_TRIES)
            elif is_at(os.fstat(descriptor), path):  # else its last holder renamed or removed it
                if is_new or not fresh:
                    yield descriptor
                    return
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int, *, optional: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if not (optional and error.errno in NO_LOCKS):
            raise
    return True


def is_at(state: os.stat_result, path: Path) -> bool:
    """Whether a path still leads to the file or folder that had this state."""
    try:
        return os.path.samestat(state, path.stat())
    except FileNotFoundError:
        return False


def _open(path: Path) -> tuple[int, bool]:
    """A file's descriptor, and whether this call has created the file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_EXCL, MODE), True
    except FileExistsError:
        return os.open(path, flags, MODE), False
