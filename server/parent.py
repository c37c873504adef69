"""No process of the engine outlives the one that started it.

The entrypoint kills what is left when the engine's main process ends; here is what happens where
the entrypoint is killed itself, or the main process together with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

CHECK_SECONDS = 1.0
"""How often a process looks whether its parent is still there."""
GRACE_SECONDS = 2.0
"""What a process below the main one gets to end by itself once its parent has."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_watched: tuple[int, int] | None = None
"""This process and the parent that it looks for: a fork inherits these, and not the thread."""


def die_with(parent: int, grace: float) -> None:
    """End the main process with the entrypoint, so that nothing serves unattended.

    The kernel sends SIGTERM when it dies. An engine that is loading has been seen to ignore that
    for ever: after ``grace`` seconds its whole process group is killed.

    Raises:
        SystemExit: The entrypoint has died already.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the entrypoint has died")
    _watch(parent, grace, lambda: os.killpg(os.getpgrp(), signal.SIGKILL))


def end_with(parent: int) -> None:
    """Kill this process, one below the main one, soon after its parent has died.

    Not by the kernel's signal: that comes when the thread ends which started us, and any thread of
    vLLM's may have.
    """
    global _watched
    if _watched != (os.getpid(), parent):
        _watched = (os.getpid(), parent)
        _watch(parent, GRACE_SECONDS, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _watch(parent: int, grace: float, kill: Callable[[], None]) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_SECONDS)
        time.sleep(grace)
        kill()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
