"""Finds the name that the user probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """Return the known name most similar to ``name``, ignoring case, None if none is similar.

    Args:
        name: The name that the user wrote.
        known: The names that exist.
        cutoff: Minimum similarity from 0 to 1, by ``difflib.get_close_matches``.
    """
    import difflib  # slow to import, and only needed after a mistake

    folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else None
