"""Whether a file system has enough room, checked before hours of writing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from entrypoint.pod.scratch import nearest_existing


class NoRoom(OSError):
    """A file system has too little room.

    Args:
        folder: A folder in the file system.
        needed: Bytes to be written.
        free: Bytes that this user can still write.
    """

    def __init__(self, folder: Path, needed: int, free: int):
        text = f"{needed:,} bytes are needed and only {free:,} are free"
        super().__init__(errno.ENOSPC, text, os.fspath(folder))

    def __str__(self) -> str:
        return str(self.strerror)


def free_bytes(folder: Path) -> int:
    """Return how many bytes this user can write to a folder, which need not exist yet."""
    system = os.statvfs(nearest_existing(folder))
    return system.f_bavail * system.f_frsize


def check_room(folder: Path, needed: int) -> None:
    """Check that there is room for ``needed`` bytes in a folder.

    Raises:
        NoRoom: There is not.
    """
    free = free_bytes(folder)
    if needed > free:
        raise NoRoom(folder, needed, free)
