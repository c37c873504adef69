"""Whether a process runs, by its id."""

from __future__ import annotations

import os
import time
from pathlib import Path

END_SECONDS = 30


def running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def exists(pid: int) -> bool:
    """Return whether a process exists, as a zombie too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_ended(pid: int) -> None:
    """Wait until a process no longer runs; fail after END_SECONDS."""
    deadline = time.monotonic() + END_SECONDS
    while running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
