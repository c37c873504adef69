"""A rolling restart under streams; twenty of them are ``python -m benchmarks.rolling``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.rolling import COMPLETE, ENDED, Fleet, faults, restart_line, roll
from tests.end_to_end.conftest import KEY
from tests.end_to_end.launch import DEMO, DEMO_CACHE, Launch, environment

SHUTDOWN_SECONDS = 5
SLACK_SECONDS = 15
"""What a stop may take beyond that here, on whatever machine; the benchmark holds it to two."""


def test_no_stream_is_lost(server: Launch, home: Path, tmp_path: Path) -> None:
    """1. Forty streams on two replicas, half of them too long. 2. SIGTERM to one replica. 3. Each
    comes to its end or is ended; new requests are answered; the replica exits in time. 4. It is
    started again, and takes its part."""
    environ = environment(
        home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE), DTYPE="float32", API_KEY=KEY
    )
    fleet = Fleet(environ, tmp_path, SHUTDOWN_SECONDS, standing=server)
    (one,) = asyncio.run(roll(fleet, streams=40, restarts=1, key=KEY))
    assert not faults([one], SHUTDOWN_SECONDS + SLACK_SECONDS), restart_line(one)
    assert set(one.ends) == {COMPLETE, ENDED}
    assert one.here[ENDED] > 0
    assert one.in_flight >= 20
    assert one.newcomers > 0
