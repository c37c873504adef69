"""What an object store can do, and what is known of an object before it is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from entrypoint.store.uri import ObjectUri

Advance = Callable[[int], None]
"""Called with bytes that are done; negative where they have to be done again."""

SHA256 = "sha256"
"""The metadata that holds the SHA-256 of a whole object, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One state of an object; another one is another content.

    Attributes:
        size: Bytes.
        etag: The store's mark of this state.
        version: The store's version or generation, where it keeps some.
        sha256: What :data:`SHA256` says of the content, hexadecimal; None without it.
        md5: The MD5 of the content, hexadecimal, or of the MD5s of its parts, with ``-`` and
            their number, as S3 makes ETags; None where the store tells none.
        md5_part_size: Bytes of each part that ``md5`` is made of; None for the whole.
    """

    size: int
    etag: str
    version: str | None = None
    sha256: str | None = None
    md5: str | None = None
    md5_part_size: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What an upload did.

    Attributes:
        sent_bytes: Bytes that were sent, without those that an earlier upload had sent.
        parts: The parts that the object is made of.
    """

    sent_bytes: int
    parts: int


class ObjectStore(Protocol):
    """One object in one store. Every method may be called from any thread."""

    @property
    def uri(self) -> ObjectUri:
        """The object."""

    def find(self) -> ObjectState | None:
        """Return the object's state, None where it is not there.

        Raises:
            ModelNotFound: The bucket is not there.
            StoreError: The store did not answer or refused.
        """

    def read(self, state: ObjectState, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of ``[start, end)``, of this state and no other.

        Raises:
            Transient: The store did not answer, or not to the end; it may answer again.
            StoreError: The store refused, or the object is in another state now.
        """

    def keys(self, folder: str) -> list[tuple[str, int]]:
        """Return some of the keys that begin with ``folder``, and their sizes in bytes.

        An empty list where the store does not show them to this user.
        """

    def put(self, source: Path, sha256: str, scratch: Path, workers: int, advance: Advance) -> Sent:
        """Upload a file; the object appears, or changes, only when it is whole.

        Args:
            source: The file.
            sha256: Its SHA-256, which becomes the object's metadata.
            scratch: Where an upload that was begun is remembered.
            workers: Parts that are sent at once.
            advance: Told of the bytes that are there.

        Raises:
            StoreError: The store did not answer or refused.
            OSError: The file cannot be read.
        """
