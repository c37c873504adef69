"""The timer that enforces START_TIMEOUT."""

from __future__ import annotations

import asyncio
import time

from entrypoint.errors import StartTimeout
from entrypoint.shared.handover import Phase
from entrypoint.status.timeline import Timeline


class StartTimer:
    """Expires if the phases before READY together exceed a limit. Downloads do not count.

    Args:
        limit: START_TIMEOUT, in seconds; 0 for no limit.
        timeline: The launch's phases.

    Attributes:
        expired: Set once the limit is exceeded.
    """

    def __init__(self, limit: float, timeline: Timeline):
        self.expired = asyncio.Event()
        self._limit = limit
        self._timeline = timeline
        self._handle: asyncio.TimerHandle | None = None

    def restart(self) -> None:
        """Set the timer to what the current phase leaves of the limit; call it in each phase."""
        self.cancel()
        phase = self._timeline.phase
        if not self._limit or phase is Phase.DOWNLOAD or phase.rank >= Phase.READY.rank:
            return
        seconds = self._timeline.seconds(time.monotonic())
        seconds.pop(Phase.DOWNLOAD, None)
        remaining = max(0.0, self._limit - sum(seconds.values()))
        self._handle = asyncio.get_running_loop().call_later(remaining, self.expired.set)

    def cancel(self) -> None:
        """Stop the timer."""
        if self._handle is not None:
            self._handle.cancel()

    def error(self, last_line: str | None) -> StartTimeout:
        """Return the error of a start that exceeded the limit.

        Args:
            last_line: The last line that the engine wrote, None if it wrote none.
        """
        seconds = self._timeline.seconds(time.monotonic())
        return StartTimeout(self._limit, self._timeline.phase, seconds, last_line)
