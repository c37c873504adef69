"""Hashing files while they are written, each by a thread that follows the one that writes.

It reads back what was written, out of the page cache: so writing never waits for hashing, and the
files of a model are hashed side by side though they are written one after the other.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from entrypoint.errors import RefusedArtifact
from entrypoint.store.digest import BLOCK, Digests, Hasher


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

    def hash(self, hasher: Hasher) -> Digests:
        """Hash the file as it grows."""
        buffer = memoryview(bytearray(BLOCK))
        place = 0
        with self.path.open("rb", buffering=0) as file:
            while end := self._wait(place):
                while place < end and (count := file.readinto(buffer[: end - place])):
                    hasher.update(buffer[:count])
                    place += count
        return hasher.digests()

    def _wait(self, place: int) -> int:
        """Wait until the file goes beyond ``place``; return how far it goes, 0 where it ends."""
        with self._changed:
            # not for each few bytes: waking up takes longer than they take
            self._changed.wait_for(lambda: self._whole or self._written >= place + BLOCK)
            return self._written if self._written > place else 0


@dataclass(frozen=True, slots=True)
class _Expected:
    name: str
    blob: str
    growing: Growing


class Hashing:
    """Compares the content of blobs with their names. A context manager, which ends its threads.

    Args:
        archive: Where the blobs come from, for the error.

    Attributes:
        found: ``{path: hashes}`` of the blobs that were compared.
    """

    def __init__(self, archive: Path):
        self.found: dict[Path, Digests] = {}
        self._archive = archive
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._expected: dict[Future[Digests], _Expected] = {}

    def __enter__(self) -> Hashing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for expected in self._expected.values():
            expected.growing.close()
        self._pool.shutdown(cancel_futures=True)

    def follow(self, path: Path, name: str, hasher: Hasher) -> Growing:
        """Hash a blob that exists and is about to be written.

        Args:
            path: Where it is written; its last part is the hash that is expected.
            name: What it is called in the archive, for the error.
            hasher: What hashes it.
        """
        growing = Growing(path)
        future = self._pool.submit(growing.hash, hasher)
        self._expected[future] = _Expected(name, path.name, growing)
        return growing

    def check(self, *, wait: bool = False) -> None:
        """Compare the hashes that are there; with ``wait`` all of them.

        Raises:
            RefusedArtifact: A blob is not what its name says.
        """
        for future in [future for future in self._expected if wait or future.done()]:
            digests = future.result()
            expected = self._expected.pop(future)
            if digests.of(expected.blob) != expected.blob:
                raise RefusedArtifact(
                    self._archive,
                    f"the content of {expected.name!r} is not what its name says: its hash is "
                    f"{digests.of(expected.blob)}",
                )
            self.found[expected.growing.path] = digests
