"""When a start exceeds START_TIMEOUT."""

import asyncio
import time

import pytest

from entrypoint.shared.handover import Phase
from entrypoint.status.timeline import Timeline
from entrypoint.supervision.start_timer import StartTimer


async def expires(limit: float, seconds: dict[Phase, float], cancel: bool = False) -> bool:
    """Return whether the timer expires soon after the start has spent ``seconds`` in phases."""
    timeline = Timeline(started=time.monotonic() - sum(seconds.values()))
    entered = timeline.started
    for phase, spent in seconds.items():
        timeline.enter(phase, entered)
        entered += spent
    timer = StartTimer(limit, timeline)
    timer.restart()
    if cancel:
        timer.cancel()
    await asyncio.sleep(0.05)
    return timer.expired.is_set()


@pytest.mark.parametrize(
    ("limit", "seconds", "expected"),
    [
        (60, {Phase.IMPORT: 40.0, Phase.WEIGHTS: 40.0}, True),
        (60, {Phase.IMPORT: 40.0, Phase.WEIGHTS: 10.0}, False),
        (60, {Phase.DOWNLOAD: 600.0}, False),
        (60, {Phase.DOWNLOAD: 600.0, Phase.UNPACK: 10.0}, False),
        (60, {Phase.DOWNLOAD: 600.0, Phase.UNPACK: 70.0}, True),
        (60, {Phase.WEIGHTS: 40.0, Phase.READY: 600.0}, False),
        (60, {Phase.WEIGHTS: 40.0, Phase.STOPPING: 600.0}, False),
        (0, {Phase.WEIGHTS: 600.0}, False),
    ],
)
def test_the_phases_before_ready_count_but_a_download_does_not(
    limit: float, seconds: dict[Phase, float], expected: bool
) -> None:
    assert asyncio.run(expires(limit, seconds)) is expected


def test_a_cancelled_timer_does_not_expire() -> None:
    assert not asyncio.run(expires(60, {Phase.WEIGHTS: 80.0}, cancel=True))


def test_the_error_names_limit_phase_and_last_line() -> None:
    timeline = Timeline(started=time.monotonic() - 80)
    timeline.enter(Phase.WEIGHTS, timeline.started + 5)
    error = StartTimer(60, timeline).error("Waiting for the mount")
    assert error.phase is Phase.WEIGHTS
    assert "START_TIMEOUT=60" in error.message
    assert "Waiting for the mount" in error.message
