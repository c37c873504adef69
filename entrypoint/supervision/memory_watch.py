"""Whether processes were killed because memory ran out."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.cgroup import memory_limit, oom_kills
from entrypoint.units import human_bytes


class MemoryWatch:
    """Whether a process was killed for want of memory since the watch began.

    The counter is the cgroup's, so that it tells too where only a helper of the engine was killed
    and the engine itself ended in good order.
    """

    def __init__(self, root: Path = Path("/")):
        self._root = root
        self._before = oom_kills(root)

    def cause(self) -> str | None:
        """Return the cause in words, None where no process was killed."""
        now = oom_kills(self._root)
        if now is None or now <= (self._before or 0):
            return None
        limit = memory_limit(self._root)
        if limit is None:
            return "the machine ran out of memory"
        return f"the memory limit of {human_bytes(limit)} was reached"
