"""The nearest of the known names, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """Return the known name most like ``name``, regardless of case, or None.

    Args:
        name: What the user wrote.
        known: The names that exist.
        cutoff: Least similarity, 0 to 1, as ``difflib.get_close_matches`` counts it.
    """
    import difflib  # only a mistake needs it, and it costs every start otherwise

    folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else None
