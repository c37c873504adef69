"""A rolling restart under streams; twenty of them are ``python -m benchmarks.rolling``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.rolling import CLOSED, COMPLETE, ENDED, Fleet, faults, restart_line, roll
from tests.support.launch import DEMO, DEMO_CACHE, KEY, environment

SHUTDOWN_SECONDS = 5
SLACK_SECONDS = 15
"""What a stop may take beyond SHUTDOWN_SECONDS on a slow machine; the benchmark allows two."""


@pytest.mark.alone
def test_no_stream_is_lost(home: Path, tmp_path: Path) -> None:
    """1. Forty streams on two replicas, half of them too long. 2. SIGTERM to one replica. 3. Each
    of its streams completes or is ended, and it exits in time; the streams of the other replica
    continue. 4. It starts again; new requests are answered throughout."""
    environ = environment(
        home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE), DTYPE="float32", API_KEY=KEY
    )
    fleet = Fleet(environ, tmp_path, SHUTDOWN_SECONDS)
    (one,) = asyncio.run(roll(fleet, streams=40, restarts=1, key=KEY))
    assert not faults([one], SHUTDOWN_SECONDS + SLACK_SECONDS), restart_line(one)
    assert set(one.ends) == {COMPLETE, ENDED, CLOSED}
    assert one.here[ENDED] == one.ends[ENDED]
    assert one.in_flight >= 20
    assert one.newcomers > 0
