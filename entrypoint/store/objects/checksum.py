"""Compares the content of a file with its object, while the file is read front to back."""

from __future__ import annotations

import hashlib

from entrypoint.store.objects.store import ObjectState
from entrypoint.store.transfer_process.messages import Comparison

COMPARED: dict[Comparison, str] = {
    "sha256": "SHA-256 verified",
    "etag": "ETag verified: the object has no SHA-256 from a push",
    "size": "only the size verified: the object has no SHA-256 from a push",
}
"""What the user reads about each comparison."""


class Checksum:
    """The SHA-256 of content in pieces, and its S3 ETag if the object has only that to compare.

    Args:
        state: What the store reports of the object.

    Attributes:
        comparison: What the content is compared by: the SHA-256 of a push, else S3's ETag, else
            only the size.
    """

    def __init__(self, state: ObjectState):
        self._state = state
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._etag: _Etag | None = None
        self.comparison: Comparison = "size"
        if state.sha256:
            self.comparison = "sha256"
        elif state.md5:
            self.comparison = "etag"
            self._etag = _Etag(state.md5_part_size)

    def update(self, content: bytes) -> None:
        """Add the next bytes."""
        self._size += len(content)
        self._sha256.update(content)
        if self._etag:
            self._etag.update(content)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content so far, hexadecimal."""
        return self._sha256.hexdigest()

    def problem(self) -> str | None:
        """Return how the content differs, with both values; None if it is the object's."""
        if self._size != self._state.size:
            return f"it has {self._size} bytes, and the object has {self._state.size}"
        if self._state.sha256 and self.sha256 != self._state.sha256.lower():
            return f"its SHA-256 is {self.sha256}, and the object's is {self._state.sha256}"
        if self._etag and self._etag.value() != self._state.md5:
            return f"its ETag is {self._etag.value()}, and the object's is {self._state.md5}"
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
                self._digests.append(self._part.digest())
                self._part, self._room = hashlib.md5(usedforsecurity=False), self._part_size

    def value(self) -> str:
        if self._part_size is None:
            return self._part.hexdigest()
        digests = list(self._digests)
        if self._room != self._part_size:
            digests.append(self._part.digest())
        joined = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
        return f"{joined}-{len(digests)}"
