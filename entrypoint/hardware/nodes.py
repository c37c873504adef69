"""Device nodes: which are there, and which this process may open."""

from __future__ import annotations

import os
import re
from pathlib import Path


def numbered(directory: Path, prefix: str) -> tuple[int, ...]:
    """Return the numbers of the entries called ``prefix`` and a number, in order."""
    try:
        names = os.listdir(directory)
    except OSError:
        return ()
    found = (re.fullmatch(rf"{prefix}(\d+)", name) for name in names)
    return tuple(sorted(int(match[1]) for match in found if match))


def closed(nodes: list[Path]) -> Path | None:
    """Return the first node that this process may not read and write, None if it may all."""
    return next((node for node in nodes if not os.access(node, os.R_OK | os.W_OK)), None)
