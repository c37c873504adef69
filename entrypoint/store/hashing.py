"""Hashing files while they are written, each by a thread that follows the one that writes.

It reads back what was written, out of the page cache: so writing never waits for hashing, and the
files of a model are hashed side by side though they are written one after the other.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from entrypoint.errors import RefusedArtifact

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_SHA1 = re.compile(r"[0-9a-f]{40}")


def blob_hash(name: str, size: int) -> _Hash | None:
    """The hash that a blob is called by; None if its name is not one.

    The hub's client calls large files by their SHA-256, and small ones as git does.
    """
    if SHA256.fullmatch(name):
        return hashlib.sha256()
    if GIT_SHA1.fullmatch(name):
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return None


class Growing:
    """A file that is being written."""

    def __init__(self, path: Path):
        self.path = path
        self._written = 0
        self._whole = False
        self._changed = threading.Condition()

    def wrote(self, end: int) -> None:
        """Tell that the file is written up to ``end``, and will not change before it."""
        with self._changed:
            self._written = end
            self._changed.notify()

    def close(self) -> None:
        """Tell that no more follows."""
        with self._changed:
            self._whole = True
            self._changed.notify()

    def hash(self, digest: _Hash) -> str:
        """Hash the file as it grows, and return the digits."""
        buffer = memoryview(bytearray(BLOCK))
        place = 0
        with self.path.open("rb", buffering=0) as file:
            while end := self._wait(place):
                while place < end and (count := file.readinto(buffer[: end - place])):
                    digest.update(buffer[:count])
                    place += count
        return digest.hexdigest()

    def _wait(self, place: int) -> int:
        """Wait until the file goes beyond ``place``; return how far it goes, 0 where it ends."""
        with self._changed:
            # not for each few bytes: waking up takes longer than they take
            self._changed.wait_for(lambda: self._whole or self._written >= place + BLOCK)
            return self._written if self._written > place else 0


class Hashing:
    """Compares the hashes of files with their names. A context manager, which ends its threads.

    Args:
        archive: Where the files come from, for the error.
    """

    def __init__(self, archive: Path):
        self._archive = archive
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._expected: dict[Future[str], tuple[str, str]] = {}
        self._growing: list[Growing] = []

    def __enter__(self) -> Hashing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for growing in self._growing:
            growing.close()
        self._pool.shutdown(cancel_futures=True)

    def follow(self, path: Path, name: str, digest: _Hash, expected: str) -> Growing:
        """Hash a file that exists and is about to be written.

        Args:
            path: Where it is written.
            name: What it is called in the archive, for the error.
            digest: The hash.
            expected: Its digits.
        """
        growing = Growing(path)
        self._growing.append(growing)
        self._expected[self._pool.submit(growing.hash, digest)] = (name, expected)
        return growing

    def check(self, *, wait: bool = False) -> None:
        """Compare the hashes that are there; with ``wait`` all of them.

        Raises:
            RefusedArtifact: A file is not what its name says.
        """
        for future in [future for future in self._expected if wait or future.done()]:
            name, expected = self._expected.pop(future)
            if (found := future.result()) != expected:
                raise RefusedArtifact(
                    self._archive,
                    f"the content of {name!r} is not what its name says: its hash is {found}",
                )
