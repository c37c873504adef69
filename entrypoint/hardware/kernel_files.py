"""Reads the small files in which the kernel publishes facts: /proc, /sys, cgroups."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """Return a file's text without surrounding blanks, empty if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def read_number(path: Path) -> int | None:
    """Return the number in a file, None if it contains no number or cannot be read."""
    text = read_text(path)
    return int(text) if text.isdigit() else None


def read_table(path: Path) -> dict[str, int]:
    """Return the numbers in a file of ``name number`` lines, empty if it cannot be read."""
    pairs = (line.split() for line in read_text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
