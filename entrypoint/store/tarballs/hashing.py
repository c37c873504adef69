"""Hashing unpacked blobs while the next ones are written.

The blobs are read back from the page cache, so writing never waits for hashing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.digest import BLOCK, Digests, Hasher, hash_type
from entrypoint.store.threads import Threads

if TYPE_CHECKING:
    from concurrent.futures import Future


class Hashing:
    """Compares the content of blobs with their names.

    Args:
        archive: The tarball that the blobs come from, for the error.
        threads: The threads that hash.

    Attributes:
        found: ``{path: hashes}`` of the compared blobs.
    """

    def __init__(self, archive: Path, threads: Threads):
        self.found: dict[Path, Digests] = {}
        self._archive = archive
        self._threads = threads
        self._waiting: dict[Future[Digests], tuple[Path, str]] = {}

    def add(self, path: Path, name: str) -> None:
        """Start hashing a blob.

        Args:
            path: The blob. Its name is the expected hash.
            name: Its name in the archive, for the error.
        """
        self._waiting[self._threads.start(_hash, path)] = (path, name)

    def check(self, *, wait: bool = False) -> None:
        """Compare the finished hashes, or with ``wait`` all of them.

        Raises:
            RefusedArtifact: The content of a blob does not match its name.
        """
        for future in [future for future in self._waiting if wait or future.done()]:
            digests = future.result()
            path, name = self._waiting.pop(future)
            if digests.of(path.name) != path.name:
                raise RefusedArtifact(
                    self._archive,
                    f"the content of {name!r} does not match its name: its hash is "
                    f"{digests.of(path.name)}",
                )
            self.found[path] = digests


def _hash(path: Path) -> Digests:
    buffer = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        hasher = Hasher(os.fstat(file.fileno()).st_size, git=hash_type(path.name) == "git-sha1")
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.digests()
