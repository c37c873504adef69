"""What an object store can do, and the state of an object before the transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from entrypoint.store.uri import ObjectUri

Advance = Callable[[int], None]
"""Called with the bytes done; with a negative number if they have to be done again."""

SHA256 = "sha256"
"""The name of the metadata with the SHA-256 of an object, hexadecimal."""


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One state of an object; another state has another content.

    Attributes:
        size: Bytes.
        etag: The store's identifier of this state.
        version: The store's version or generation; None if it keeps none.
        sha256: The SHA-256 from the metadata :data:`SHA256`, hexadecimal; None without it.
        md5: The MD5 of the content, hexadecimal, or of the MD5s of its parts with ``-`` and their
            number, like S3's ETags; None if it is unknown.
        md5_part_size: Bytes of each of these parts; None for the MD5 of the content.
    """

    size: int
    etag: str
    version: str | None = None
    sha256: str | None = None
    md5: str | None = None
    md5_part_size: int | None = None


class ObjectStore(Protocol):
    """One object in one store. Any thread may call any method."""

    @property
    def uri(self) -> ObjectUri:
        """The object."""

    def find(self) -> ObjectState | None:
        """Return the object's state, None if the object does not exist.

        Raises:
            ModelNotFound: The bucket does not exist.
            StoreError: The store did not answer or refused.
        """

    def read(self, state: ObjectState, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of ``[start, end)``, of this state and no other.

        Raises:
            Transient: The store did not answer, or the answer was cut; a retry may succeed.
            StoreError: The store refused, or the object has another state now.
        """

    def keys(self, folder: str) -> list[tuple[str, int]]:
        """Return some of the keys that start with ``folder``, and their sizes in bytes.

        The list is empty if this user may not list them.
        """

    def put(self, source: Path, sha256: str, scratch: Path, workers: int, advance: Advance) -> int:
        """Upload a file, and return how many bytes this run sent.

        The object appears, or changes, only when the upload is complete.

        Args:
            source: The file.
            sha256: Its SHA-256, for the object's metadata.
            scratch: Folder for the note about an unfinished upload.
            workers: How many parts to send in parallel.
            advance: Called with the bytes that the store has.

        Raises:
            StoreError: The store did not answer or refused.
            OSError: The file cannot be read.
        """
