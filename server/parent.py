"""Ends each process of the engine after its parent.

When the engine's main process ends, the entrypoint kills the remaining processes. This module
covers the case that the entrypoint itself is killed, alone or with the main process.
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
"""How often a process checks that its parent still runs."""
GRACE_SECONDS = 2.0
"""How long a process below the main one gets to end after its parent."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_watched: tuple[int, int] | None = None
"""This process and the parent that it watches. A fork inherits this value but not the thread."""


def die_with(parent: int, grace: float) -> None:
    """End the main process when the entrypoint dies, so that it never serves unattended.

    The kernel sends SIGTERM when the entrypoint dies. An engine that is loading may ignore it, so
    this process kills its process group after ``grace`` seconds.

    Raises:
        SystemExit: The entrypoint has already died.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the entrypoint has died")
    _watch(parent, grace, lambda: os.killpg(os.getpgrp(), signal.SIGKILL))


def end_with(parent: int) -> None:
    """Kill this process, one below the main one, soon after its parent dies.

    The kernel's signal does not work here: it comes as soon as the thread ends that started this
    process, which may be any thread of vLLM's.
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
