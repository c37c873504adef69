"""What a file's content is compared by, while it is read from its beginning to its end."""

from __future__ import annotations

import hashlib
from typing import Literal

from entrypoint.store.objects.store import ObjectState

Way = Literal["sha256", "etag", "size"]

SAID: dict[Way, str] = {
    "sha256": "SHA-256 compared",
    "etag": "compared by its ETag: no SHA-256 was pushed with it",
    "size": "only its size could be compared: no SHA-256 was pushed with it",
}
"""What is said of a file that was compared in each way."""


class Checksum:
    """The SHA-256 of what it is fed, and S3's ETag where that is what there is to compare.

    Args:
        state: What the store says of the object.

    Attributes:
        way: What the content is compared by: the SHA-256 that a push has left, else S3's ETag,
            else nothing but the size.
    """

    def __init__(self, state: ObjectState):
        self._state = state
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._etag: _Etag | None = None
        self.way: Way = "size"
        if state.sha256:
            self.way = "sha256"
        elif state.md5:
            self.way = "etag"
            self._etag = _Etag(state.md5_part_size)

    def update(self, content: bytes) -> None:
        """Take the next bytes."""
        self._size += len(content)
        self._sha256.update(content)
        if self._etag:
            self._etag.update(content)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all that was fed, hexadecimal."""
        return self._sha256.hexdigest()

    def problem(self) -> str | None:
        """Return what is wrong with all that was fed, both values named; None if it is the same."""
        if self._size != self._state.size:
            return f"it has {self._size} bytes, the object {self._state.size}"
        if self._state.sha256 and self.sha256 != self._state.sha256.lower():
            return f"its SHA-256 is {self.sha256}, the object's metadata says {self._state.sha256}"
        if self._etag and self._etag.value() != self._state.md5:
            return f"its ETag would be {self._etag.value()}, the object's is {self._state.md5}"
        return None


class _Etag:
    """S3's ETag: the MD5, or the MD5 of the parts' MD5s with their number."""

    def __init__(self, part_size: int | None):
        self._part_size = part_size
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = part_size or 0
        self._digests: list[bytes] = []

    def update(self, content: bytes) -> None:
        if self._part_size is None:
            self._part.update(content)
            return
        rest = memoryview(content)
        while rest:
            self._part.update(rest[: self._room])
            taken = min(self._room, len(rest))
            rest, self._room = rest[taken:], self._room - taken
            if not self._room:
                self._end_part(self._part_size)

    def _end_part(self, part_size: int) -> None:
        self._digests.append(self._part.digest())
        self._part, self._room = hashlib.md5(usedforsecurity=False), part_size

    def value(self) -> str:
        if self._part_size is None:
            return self._part.hexdigest()
        digests = list(self._digests)
        if self._room != self._part_size:
            digests.append(self._part.digest())
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
        return f"{whole}-{len(digests)}"
