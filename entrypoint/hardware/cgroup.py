"""What this process's cgroup leaves it of the machine."""

from __future__ import annotations

from pathlib import Path


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def memory_left(root: Path) -> int | None:
    """Bytes that the memory cgroup still leaves, None without a limit (version 2, then 1)."""
    for directory, limit_name, usage_name in (
        (root / "sys/fs/cgroup", "memory.max", "memory.current"),
        (root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit = _number(directory / limit_name)
        if limit is not None:
            return max(0, limit - (_number(directory / usage_name) or 0))
    return None
