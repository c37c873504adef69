"""The names of tarballs: their suffixes, and what is left without one."""

from __future__ import annotations

SUFFIXES = (".tar.gz", ".tar.zst", ".tgz", ".tar")


def without_suffix(name: str) -> str:
    """Return a tarball's name without its suffix; any other name as it is."""
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name
