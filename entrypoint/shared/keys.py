"""API keys: from API_KEY, from ARG, and from a file that may change."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger("inference-server")

NAME_CHARACTERS = 8
"""Length of a key's name in logs and limits: a prefix of its hash, which does not reveal it."""


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys in a file, one per line.

    Raises:
        ValueError: The file cannot be read, or contains no key.
    """
    try:
        lines = path.expanduser().read_text().splitlines()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise ValueError("the file contains no key")
    return keys


class Keys:
    """The accepted API keys.

    Args:
        fixed: Keys that do not change.
        path: File with more keys; see :meth:`reload`.

    Raises:
        ValueError: The file cannot be read, or contains no key.
    """

    def __init__(self, fixed: Iterable[str], path: Path | None = None):
        self._fixed = _hashes(fixed)
        self._path = path
        self._stamp: object = None
        self._read: dict[bytes, str] = {}
        if path is not None:
            self._stamp = stamp(path)
            self._read = _hashes(read_keys(path))

    def __bool__(self) -> bool:
        """Whether requests need a key."""
        return bool(self._fixed or self._path)

    def name_of(self, authorization: str) -> str | None:
        """Return the name of the key in an ``Authorization`` header, None if it is not accepted.

        Takes the same time for every key of the same length: the hash is compared with the hash of
        each accepted key.
        """
        scheme, _, shown = authorization.partition(" ")
        if scheme.casefold() != "bearer":
            return None
        digest = hashlib.sha256(shown.strip().encode(errors="surrogateescape")).digest()
        found = None
        for known, name in (*self._fixed.items(), *self._read.items()):
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def reload(self) -> None:
        """Reload the file if it has changed. If it cannot be used, keep the keys and log why."""
        if self._path is None or (now := stamp(self._path)) == self._stamp:
            return
        self._stamp = now
        try:
            self._read = _hashes(read_keys(self._path))
        except ValueError as error:
            log.error("API_KEY_FILE=%s: %s; keeping the previous keys", self._path, error)
        else:
            log.info("API_KEY_FILE=%s has changed: loaded %d keys", self._path, len(self._read))


def _hashes(keys: Iterable[str]) -> dict[bytes, str]:
    hashes = [hashlib.sha256(key.encode()) for key in keys]
    return {each.digest(): each.hexdigest()[:NAME_CHARACTERS] for each in hashes}


def stamp(path: Path) -> object:
    """Return a value that changes when the file does, or when Kubernetes swaps the link to it."""
    try:
        state = os.stat(path.expanduser())
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
