"""The watch for processes that the kernel kills because memory ran out."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.cgroup import memory_limit, oom_kills
from entrypoint.units import human_bytes


class MemoryWatch:
    """Notices whether the kernel has killed a process for memory since the watch started.

    It reads the cgroup's counter, which also counts a helper of an engine that exited normally.
    """

    def __init__(self, root: Path = Path("/")):
        self._root = root
        self._before = oom_kills(root)

    def cause(self) -> str | None:
        """Return the cause in words, None if no process was killed."""
        now = oom_kills(self._root)
        if now is None or now <= (self._before or 0):
            return None
        limit = memory_limit(self._root)
        if limit is None:
            return "the machine ran out of memory"
        return f"the memory limit of {human_bytes(limit)} was reached"
