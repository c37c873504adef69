"""The preparation of a launch: a thread that finds and fetches the model and plans the launch."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import Phase
from entrypoint.status.timeline import Timeline
from entrypoint.store.progress import Progress
from entrypoint.units import human_bytes

log = logging.getLogger("inference-server")

LOG_SECONDS = 10.0
"""How often the log states how many bytes of the model are done."""

JOIN_SECONDS = 0.2
"""How long to wait for the thread once the launch has ended."""


class Reporter:
    """Passes on what the preparing thread reports; safe to call from any thread.

    Args:
        timeline: The launch's phases.
        enter: Called in the event loop with each phase, and the bytes that the previous one
            processed.
        expect: Called in the event loop with the plan as far as it is known.
    """

    def __init__(
        self,
        timeline: Timeline,
        enter: Callable[[Phase, int], None],
        expect: Callable[[LaunchPlan], None],
    ):
        self._loop = asyncio.get_running_loop()
        self._timeline = timeline
        self._enter = enter
        self._expect = expect
        self._logged = time.monotonic()

    def enter(self, phase: Phase) -> None:
        """Report a new phase."""
        # read the bytes now: when the loop runs the call they may be those of the next phase
        self._loop.call_soon_threadsafe(self._enter, phase, self._timeline.bytes_done)

    def planned(self, plan: LaunchPlan) -> None:
        """Report the plan as far as it is known before the model is fetched."""
        self._loop.call_soon_threadsafe(self._expect, plan)

    def on_progress(self, progress: Progress) -> None:
        """Report how many of the phase's bytes are done."""
        now = time.monotonic()
        self._timeline.set_bytes(progress.done, progress.total, now)
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            rate = self._timeline.bytes_per_second(now)
            log.info(
                "%s: %s of %s%s",
                self._timeline.phase,
                human_bytes(progress.done),
                human_bytes(progress.total),
                f", {human_bytes(rate)}/s" if rate else "",
            )


Prepare = Callable[[Reporter], LaunchPlan]


class Preparation:
    """Prepares a launch in a daemon thread, so that a stop does not have to wait for it.

    Args:
        prepare: Finds and fetches the model and plans the launch.
    """

    def __init__(self, prepare: Prepare):
        self._prepare = prepare
        self._thread: threading.Thread | None = None

    async def run(self, reporter: Reporter) -> LaunchPlan:
        """Return the plan.

        Raises:
            InferenceServerError: The launch cannot work.
        """
        outcome: Future[LaunchPlan] = Future()
        outcome.set_running_or_notify_cancel()  # the thread cannot be cancelled

        def work() -> None:
            try:
                outcome.set_result(self._prepare(reporter))
            except Exception as error:
                outcome.set_exception(error)

        thread = threading.Thread(target=work, name="prepare", daemon=True)
        thread.start()
        self._thread = thread
        return await asyncio.wrap_future(outcome)

    def is_running(self) -> bool:
        """Whether the thread still reads or hashes; a thread cannot be ended."""
        if self._thread is None:
            return False
        self._thread.join(JOIN_SECONDS)
        return self._thread.is_alive()
