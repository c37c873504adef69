"""The user's home directory, which a user without a passwd entry may not have."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping


def home_directory(environ: Mapping[str, str]) -> str | None:
    """Return HOME, else the home in the passwd entry; None without either."""
    if environ.get("HOME"):
        return environ["HOME"]
    try:
        return pwd.getpwuid(os.getuid()).pw_dir or None
    except KeyError:
        return None


def expanded(path: str, home: str | None) -> str:
    """Return a path with ``~`` and ``~user`` at its start replaced.

    Raises:
        ValueError: That home is unknown.
    """
    user, slash, rest = path.partition("/")
    if not user.startswith("~"):
        return path
    if user == "~":
        if home is None:
            raise ValueError(f"HOME is not set, and user {os.getuid()} has no home")
        found = home
    else:
        try:
            found = pwd.getpwnam(user[1:]).pw_dir
        except KeyError:
            raise ValueError(f"there is no user {user[1:]!r}") from None
    return found.rstrip("/") + slash + rest or "/"
