"""The hashes of a file's content, and the hash in the name of a blob.

The hub's client names a blob by the ETag of its file. That is the SHA-256 of the content for large
files (64 hexadecimal digits), and git's SHA-1 for small ones (40 digits), which also covers the
content's length.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

BLOCK = 1 << 20
"""Bytes that are read and hashed at once: enough to release Python's lock, and few enough for the
processor's cache."""

SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_SHA1 = re.compile(r"[0-9a-f]{40}")

HashType = Literal["sha256", "git-sha1"]


def hash_type(blob: str) -> HashType | None:
    """Return the type of hash in a blob's name; None if the name is not a hash."""
    if SHA256.fullmatch(blob):
        return "sha256"
    return "git-sha1" if GIT_SHA1.fullmatch(blob) else None


@dataclass(frozen=True, slots=True)
class Digests:
    """The hashes of one file's content, in hexadecimal digits.

    Attributes:
        sha256: The SHA-256.
        git: git's SHA-1; None if it was not requested.
    """

    sha256: str
    git: str | None = None

    def of(self, blob: str) -> str | None:
        """Return the hash of the type in a blob's name; None if the name is not a hash."""
        return {"sha256": self.sha256, "git-sha1": self.git}.get(hash_type(blob) or "")


class Hasher:
    """Hashes a file's content block by block.

    Args:
        size: Length of the content in bytes.
        git: Whether to compute git's SHA-1 too.
    """

    def __init__(self, size: int, git: bool = False):
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else None

    def update(self, block: bytes | bytearray | memoryview) -> None:
        """Hash the next block."""
        self._sha256.update(block)
        if self._git is not None:
            self._git.update(block)

    def digests(self) -> Digests:
        """Return the hashes of all blocks so far."""
        return Digests(self._sha256.hexdigest(), self._git.hexdigest() if self._git else None)
