"""Device nodes: their numbers, and whether this process may open them."""

from __future__ import annotations

import os
import re
from pathlib import Path


def numbered_entries(directory: Path, prefix: str) -> tuple[int, ...]:
    """Return the sorted numbers of a directory's entries whose name is ``prefix`` and a number."""
    try:
        names = os.listdir(directory)
    except OSError:
        return ()
    found = (re.fullmatch(rf"{prefix}(\d+)", name) for name in names)
    return tuple(sorted(int(match[1]) for match in found if match))


def first_inaccessible(nodes: list[Path]) -> Path | None:
    """Return the first node that this process may not read and write, None if it may use all."""
    return next((node for node in nodes if not os.access(node, os.R_OK | os.W_OK)), None)
