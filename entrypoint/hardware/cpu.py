"""The CPU as an accelerator: its memory."""

from __future__ import annotations

import re
from pathlib import Path

from entrypoint.hardware.cgroup import memory_left


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that can be used now, under the cgroup's limit."""
    try:
        meminfo = (root / "proc/meminfo").read_text()
    except OSError:
        meminfo = ""
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    left = (int(match[1]) * 1024 if match else None, memory_left(root))
    return min((number for number in left if number is not None), default=None)
