"""Loads the served demo model for hours, and checks every answer and the memory.

Run as ``python -m benchmarks.soak --seconds 7200 --out soak.csv``. One real engine gets streams,
complete answers, clients that disconnect, wrong requests, probes, and sometimes more requests at
once than it admits. The memory of each process is read every ten seconds, and written to a CSV
file. Exit code 1 if an answer was wrong, a process died, or a process grew by 1 % or more after the
first ten minutes (checked from twenty minutes on).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.memory import Growth, MemoryLog, Reading, growth, growth_table
from benchmarks.mixed_load import STALL_CHECK_SECONDS, Count, Load, counts_table
from benchmarks.report import print_progress
from tests.support.launch import DEMO, DEMO_CACHE, Launch, environment

KEY = "a-key-of-the-soak"
CONCURRENT = 16
QUEUED = 16
ORDINARY = 12
"""Maximum of requests at once outside bursts: fewer than CONCURRENT, so that none is refused."""
BURST = CONCURRENT + QUEUED + 16
BURST_SECONDS = 300.0
"""Time between two bursts."""
READING_SECONDS = 10.0
PROGRESS_SECONDS = 60.0
STALL_SECONDS = 4.0
"""A server may disconnect a client that stalls for this time."""
SETTLE_SECONDS = 600.0
"""The time before this is not checked, because caches fill."""
WINDOW_SECONDS = 300.0
JUDGED_SECONDS = 1200.0
"""The shortest run with a verdict on growth."""
GROWTH = 0.01
IDLE_SECONDS = 30.0
"""How soon after the last request the engine must be idle."""


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a soak."""

    seconds: float
    sent: int
    counts: dict[str, Count]
    examples: list[str]
    grown: list[Growth]
    judged: bool
    """Whether the run was long enough for a verdict on growth."""
    faults: list[str]
    """What was wrong; empty if all is well."""


def windows(seconds: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the two windows to compare, each ``(from, to)`` in seconds.

    These are minutes 10 to 15 and the last five minutes, or the third and the last tenth of a short
    run.
    """
    if seconds >= JUDGED_SECONDS:
        settled = (SETTLE_SECONDS, SETTLE_SECONDS + WINDOW_SECONDS)
        return settled, (seconds - WINDOW_SECONDS, seconds)
    tenth = max(seconds / 10, READING_SECONDS)
    return (2 * tenth, 3 * tenth), (seconds - tenth, seconds)


def soak_environment(home: Path) -> dict[str, str]:
    """Return the environment for the launch of the demo model."""
    return environment(
        home,
        MODEL_ID=DEMO,
        HF_HUB_CACHE=str(DEMO_CACHE),
        API_KEY=KEY,
        MAX_CONCURRENT_REQUESTS=str(CONCURRENT),
        MAX_QUEUED_REQUESTS=str(QUEUED),
    )


@contextlib.asynccontextmanager
async def running(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    """Cancel tasks at the end of a block, and raise the first error of a task."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


async def soak(
    launch: Launch, key: str, seconds: float, rate: float, seed: int, out: Path
) -> Report:
    """Load a server that is ready, and report the results.

    Args:
        launch: The server, with the limits of :func:`soak_environment`.
        key: Its API key.
        seconds: The duration.
        rate: Requests per second, without bursts.
        seed: Seed of the random choices.
        out: The CSV file for the readings of the memory.
    """
    load = Load(launch.url, key, DEMO, random.Random(seed), BURST)
    started = time.monotonic()
    with out.open("w", newline="") as file:
        log = MemoryLog(launch.process.pid, file)
        first = log.read(0.0)
        helpers = (
            asyncio.create_task(_read_memory(log, started)),
            asyncio.create_task(_report_progress(load, log, started, seconds)),
            asyncio.create_task(_watch_stalls(load, started)),
        )
        async with load.client, running(*helpers):
            await _load(load, launch, started, seconds, rate)
            left = await _until_idle(load) if launch.process.poll() is None else 0.0
        last = log.read(time.monotonic() - started)
    lasted = time.monotonic() - started
    grown = growth(log.readings, *windows(lasted))
    judged = lasted >= JUDGED_SECONDS
    return Report(
        seconds=lasted,
        sent=load.done,
        counts=load.counts(),
        examples=load.examples,
        grown=grown,
        judged=judged,
        faults=[
            *([f"{load.wrong} answers were wrong"] if load.wrong else []),
            *([f"the engine still had {left:g} requests at the end"] if left else []),
            *_died(first, last),
            *_grew(grown if judged else []),
        ],
    )


async def _load(load: Load, launch: Launch, started: float, seconds: float, rate: float) -> None:
    """Send requests like independent clients, with exponentially distributed times between them.

    Ends early if the server ends.
    """
    free = asyncio.Semaphore(ORDINARY)
    between = min(BURST_SECONDS, seconds / 3)
    next_burst = started + between / 2
    due = started

    async def ordinary() -> None:
        try:
            await load.one()
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        while (now := time.monotonic()) < started + seconds and launch.process.poll() is None:
            if now >= next_burst:
                next_burst += between
                group.create_task(load.burst())
            # after a pause, clients do not send the requests that they missed
            due = max(due, now - 1) + load.rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await free.acquire()
            group.create_task(ordinary())


async def _read_memory(log: MemoryLog, started: float) -> None:
    while True:
        await asyncio.sleep(READING_SECONDS - (time.monotonic() - started) % READING_SECONDS)
        await asyncio.to_thread(log.read, time.monotonic() - started)


async def _watch_stalls(load: Load, started: float) -> None:
    """Record when this process itself stalls, on a busy machine."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(STALL_CHECK_SECONDS / 2)
        late = time.monotonic() - before
        if late > STALL_SECONDS:
            load.stalled()
            print_progress(
                f"{time.monotonic() - started:.0f} s: the clients stalled for {late:.0f} s"
            )


async def _report_progress(load: Load, log: MemoryLog, started: float, seconds: float) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        latest = {reading.process: reading.held for reading in log.readings}
        sizes = ", ".join(f"{name} {held / 1e6:.1f}" for name, held in latest.items())
        print_progress(
            f"{time.monotonic() - started:.0f} of {seconds:.0f} s: {load.done} requests, "
            f"{load.wrong} wrong; MB held: {sizes}"
        )
        for example in load.examples[:5]:
            print_progress(f"  {example}")


async def _until_idle(load: Load) -> float:
    """Wait until the engine is idle; return the number of requests that it still has."""
    deadline = time.monotonic() + IDLE_SECONDS
    while True:
        text = (await load.client.get("/metrics")).text
        found = re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*?\} (\S+)$", text, re.M)
        left = sum(float(number) for number in found)
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.5)


def _died(first: list[Reading], last: list[Reading]) -> list[str]:
    alive = {reading.pid for reading in last}
    return [f"the {one.process} ({one.pid}) has ended" for one in first if one.pid not in alive]


def _grew(grown: list[Growth]) -> list[str]:
    return [f"the {one.process} grew by {one.ratio:.2%}" for one in grown if one.ratio >= GROWTH]


def report_text(report: Report) -> str:
    """Return the report as text with tables."""
    refused = sum(count.refused for count in report.counts.values())
    verdict = "; ".join(report.faults) or "all is well"
    return "\n".join(
        [
            f"cores: {os.cpu_count()}, {report.seconds:.0f} s, {report.sent} requests, "
            f"{refused} refused in bursts",
            counts_table(report.counts),
            "",
            "memory held (anonymous and shared), MB:",
            growth_table(report.grown),
            *([] if report.judged else ["too short for a verdict on growth"]),
            *report.examples,
            f"verdict: {verdict}",
        ]
    )


def report_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(
        {
            **dataclasses.asdict(report),
            "counts": {kind: count._asdict() for kind, count in report.counts.items()},
            "grown": [one._asdict() for one in report.grown],
        },
        indent=1,
    )


def main() -> None:
    """Start the server, load it, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=7200, help="duration")
    parser.add_argument(
        "--rate", type=float, default=1.5, help="requests per second, without bursts (default: 1.5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices")
    parser.add_argument(
        "--out", type=Path, default=Path("soak.csv"), help="the CSV file for the readings"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        launch = Launch(soak_environment(home), home / "log")
        try:
            print_progress(f"starting; the log is {launch.log}")
            launch.until_ready()
            report = asyncio.run(
                soak(launch, KEY, arguments.seconds, arguments.rate, arguments.seed, arguments.out)
            )
        finally:
            code = launch.stop()
    if code != 0:
        report = dataclasses.replace(
            report, faults=[*report.faults, f"the server exited with {code}"]
        )
    print(report_json(report) if arguments.json else report_text(report))
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
