"""The hashes of a file's content, and what the name of a blob says about them.

The hub's client calls a blob by the ETag of its file: the SHA-256 of its content (large files, 64
hexadecimal digits), or git's SHA-1 of it (small ones, 40), which begins with the content's length.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

BLOCK = 1 << 20
"""Bytes that are read and hashed at once: large enough to let go of Python's lock, small enough to
stay in the processor's cache."""

SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_SHA1 = re.compile(r"[0-9a-f]{40}")

Naming = Literal["sha256", "git-sha1"]


def naming(blob: str) -> Naming | None:
    """Which hash of its content a blob is called by, None where the name is no hash."""
    if SHA256.fullmatch(blob):
        return "sha256"
    return "git-sha1" if GIT_SHA1.fullmatch(blob) else None


@dataclass(frozen=True, slots=True)
class Digests:
    """The hashes of one content, in hexadecimal digits.

    Attributes:
        sha256: The SHA-256.
        git: git's SHA-1, None where it was not asked for.
    """

    sha256: str
    git: str | None = None

    def of(self, blob: str) -> str | None:
        """The hash that a blob of this name must have, None where its name is no hash."""
        match naming(blob):
            case "sha256":
                return self.sha256
            case "git-sha1":
                return self.git
        return None


class Hasher:
    """Hashes a content as it comes by.

    Args:
        size: Length of the content in bytes.
        git: Whether git's SHA-1 is wanted too.
    """

    def __init__(self, size: int, git: bool = False):
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else None

    def update(self, block: bytes | bytearray | memoryview) -> None:
        """Hash what comes next."""
        self._sha256.update(block)
        if self._git is not None:
            self._git.update(block)

    def digests(self) -> Digests:
        """The hashes of what came by."""
        return Digests(self._sha256.hexdigest(), self._git.hexdigest() if self._git else None)
