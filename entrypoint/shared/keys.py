"""API keys: from API_KEY, from ARG, and from a file that may change."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from entrypoint.shared.characters import unusual

log = logging.getLogger("inference-server")

NAME_CHARACTERS = 8
"""Length of a key's name in logs and limits: a prefix of its hash, which does not reveal it."""


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys in a file, one per line.

    Raises:
        ValueError: The file cannot be read, or contains no key.
    """
    try:
        # utf-8-sig: without the byte order mark of a file from Windows
        lines = re.split(r"\r\n|\r|\n", path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    keys: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        key = line.strip(" \t")
        if found := next(unusual(key), None):
            raise ValueError(f"line {number} of the file contains {found}")
        if key:
            keys[key] = None
    if not keys:
        raise ValueError("the file contains no key")
    return tuple(keys)


MISSING_KEY = (
    "The API key is missing or wrong. Send it as: Authorization: Bearer KEY, or X-Api-Key: KEY."
)
"""The message of a 401."""


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

    def name_in(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the name of the key in a request's headers, None if no accepted key is in them.

        A key is in ``Authorization: Bearer``, or in ``X-Api-Key``, as Anthropic's clients send it.
        If both hold an accepted key, the name is the first one's. A gateway may use one of them
        for itself, so a wrong key in one does not matter if the other is right.

        Args:
            headers: Names in lower case, and values.
        """
        given: dict[bytes, list[str]] = {b"authorization": [], b"x-api-key": []}
        for name, value in headers:
            if name in given:
                given[name].append(value.decode(errors="surrogateescape"))
        # a header that is sent twice holds no key: two halves must not make one
        (authorization, key) = (values[0] if len(values) == 1 else "" for values in given.values())
        return self.name_of(_bearer(authorization)) or self.name_of(key.strip())

    def name_of(self, key: str) -> str | None:
        """Return the name of a key, None if it is not accepted.

        Takes the same time for every key of the same length: the hash is compared with the hash of
        each accepted key.
        """
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
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


def _bearer(authorization: str) -> str:
    """Return the key in an ``Authorization`` header, empty if there is none."""
    scheme, _, key = authorization.strip().replace("\t", " ").partition(" ")
    return key.strip() if scheme.casefold() == "bearer" else ""


def _hashes(keys: Iterable[str]) -> dict[bytes, str]:
    hashes = [hashlib.sha256(key.encode()) for key in keys]
    return {each.digest(): each.hexdigest()[:NAME_CHARACTERS] for each in hashes}


def stamp(path: Path) -> object:
    """Return a value that changes when the file does, or when Kubernetes swaps the link to it."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
