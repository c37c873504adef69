"""A file that is either there whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrypoint.errors import StorageError

MODE = 0o666  # before the umask


def partial_file(target: Path) -> Path:
    """What a file is called while it is written; no search takes it for a tarball."""
    return target.with_name(f".{target.name}.partial")


@contextmanager
def whole_file(target: Path) -> Iterator[int]:
    """Open a file for reading and writing that becomes ``target`` once the body has ended well.

    What a killed process left is written over by the next one. After an error nothing is left.

    Yields:
        Its descriptor; the file is empty.

    Raises:
        StorageError: Another process is writing the same file.
        OSError: A write failed; also from the body.
    """
    partial = partial_file(target)
    descriptor = _locked(partial, target)
    try:
        os.truncate(descriptor, 0)
        yield descriptor
        os.fsync(descriptor)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else the new name may be lost with the power
    finally:
        os.close(folder)


def _locked(partial: Path, target: Path) -> int:
    """Open the file and lock it; the lock ends with the process, however that ends."""
    while True:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(partial)):
                return descriptor
        except FileNotFoundError:
            pass  # its writer has just finished with it
        except BlockingIOError:
            os.close(descriptor)
            raise StorageError(
                f"{target} is being written by another process.",
                hint="Wait for it, or write to another file.",
            ) from None
        os.close(descriptor)
