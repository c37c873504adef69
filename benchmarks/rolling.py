"""Checks that rolling restarts lose no stream.

Run as ``python -m benchmarks.rolling --streams 200 --restarts 20``. Two replicas of the real launch
serve the demo model behind a load balancer that respects readiness. In each round, N streams are in
flight, one replica gets SIGTERM, and it starts again, while short requests arrive. In every second
pair of restarts, half of the streams are too long to finish within SHUTDOWN_TIMEOUT. Those on the
other replica must still produce tokens after the stop, and are then closed. Exit code 1 if a stream
is lost (it neither reached its end nor got an error event and ``[DONE]``), a new request was not
answered, or a replica did not exit with 0 within SHUTDOWN_TIMEOUT and two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import shlex
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.balancer import REQUEST_ID, Balancer, Replica
from benchmarks.report import print_progress
from tests.support.launch import DEMO, DEMO_CACHE, Launch, descendants, environment

KEY = "a-key-of-the-replicas"
REPLICAS = 2
CONTEXT = {"max_position_embeddings": 65536}
"""Extends the demo model's context, because 2,048 tokens can be complete before a stop ends."""
ENDLESS_TOKENS = 65536 - 128
"""The length of a stream that must not finish: the context without the prompt."""
MARGIN_SECONDS = 2.0
"""How long a replica may take beyond SHUTDOWN_TIMEOUT."""
SILENT_SECONDS = 300.0
"""A stream without an event for this time has hung."""
HANGING_SECONDS = 60.0
"""A stop that takes this long beyond SHUTDOWN_TIMEOUT ends the run."""
GONE_SECONDS = 5.0
"""How long a replica's processes may take to end after its exit."""
NEWCOMER_SECONDS = 0.5
"""Time between two short requests."""
FINISHING = 0.5
"""The part of SHUTDOWN_TIMEOUT in which the shorter streams finish."""
COMPLETE, ENDED, CLOSED, LOST = "complete", "ended", "closed", "lost"


class Stream(NamedTuple):
    """How a stream ended."""

    end: str
    """``complete``, ``ended`` (an error event, then ``[DONE]``), ``closed`` (it still produced
    tokens after the stop) or ``lost``."""
    why: str
    """Why it was lost; empty otherwise."""
    replica: str | None


@dataclasses.dataclass(frozen=True)
class Restart:
    """One restart, and the results of its streams."""

    replica: str
    tokens: list[int]
    """Requested lengths of the streams, used in turn."""
    in_flight: int
    """Streams that had started and not ended at SIGTERM."""
    ends: dict[str, int]
    """Number of streams by their end, on both replicas."""
    here: dict[str, int]
    """The same for the stopped replica only."""
    lost: list[str]
    """Why streams were lost, each reason once."""
    exit_code: int
    exit_seconds: float
    left_behind: int
    """Processes of the replica that still ran some seconds later."""
    newcomers: int
    """Short requests that were answered during the restart."""
    unanswered: list[str]
    """The errors of the other short requests."""
    sent_again: int
    """Requests that the balancer sent to the other replica after one refused them."""


def judge(events: Sequence[str], tokens: int) -> tuple[str, str]:
    """Return how a stream ended, from the data of its events, and why if it was lost."""
    if not events or events[-1] != "[DONE]":
        last = events[-1][:200] if events else "nothing"
        return LOST, f"no [DONE], the last event was {last}"
    documents = [json.loads(event) for event in events[-4:-1]]
    if any("error" in document for document in documents):
        return ENDED, ""
    reasons = [choice["finish_reason"] for one in documents for choice in one["choices"]]
    counted = [one["usage"]["completion_tokens"] for one in documents if one.get("usage")]
    if "length" in reasons and counted == [tokens]:
        return COMPLETE, ""
    return LOST, f"[DONE] after {reasons} and {counted} tokens instead of {tokens}"


def chat(tokens: int, **options: Any) -> dict[str, Any]:
    """Return the body of a chat whose answer has exactly ``tokens`` tokens."""
    return {
        "model": DEMO,
        "messages": [{"role": "user", "content": "What is this?"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        **options,
    }


def own_cores(number: int) -> str:
    """Return the cores of one of the replicas, in the format of VLLM_CPU_OMP_THREADS_BIND.

    vLLM's workers spin while they wait, and leave no time to a replica that starts on the same
    cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    own = cores[number::REPLICAS] or cores
    return ",".join(map(str, own))


async def count_running(pids: Iterable[int]) -> int:
    """Return how many of the processes still run after some seconds.

    A killed process needs time to free its memory.
    """
    deadline = time.monotonic() + GONE_SECONDS
    while left := sum(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.05)
    return left


class Streams:
    """Streams in flight at once.

    Args:
        client: The client of the balancer.
        balancer: The balancer, which records the replica of each stream.
        tokens: The lengths of the streams, used in turn.
    """

    def __init__(self, client: httpx.AsyncClient, balancer: Balancer, tokens: Sequence[int]):
        self._client = client
        self._balancer = balancer
        self._tokens = tokens
        self._started = 0
        self._all_started = asyncio.Event()
        self._over = False

    async def start(self, count: int) -> None:
        """Send the requests, and wait for the first event or the end of every stream."""
        self._awaited = count
        lengths = itertools.islice(itertools.cycle(self._tokens), count)
        self._tasks = [asyncio.create_task(self._one(tokens)) for tokens in lengths]
        await self._all_started.wait()

    @property
    def in_flight(self) -> int:
        """Number of streams that have not ended."""
        return sum(not task.done() for task in self._tasks)

    async def ends(self) -> list[Stream]:
        """Close endless streams at their next token, wait for the others, and return all ends."""
        self._over = True
        return await asyncio.gather(*self._tasks)

    async def _one(self, tokens: int) -> Stream:
        name = uuid.uuid4().hex
        events: list[str] = []
        try:
            end, why = await self._read(name, tokens, events)
        except httpx.HTTPError as error:
            end, why = LOST, f"{type(error).__name__}: {error}"
        finally:
            if not events:
                self._count_started()
        return Stream(end, why, self._balancer.routes.get(name))

    async def _read(self, name: str, tokens: int, events: list[str]) -> tuple[str, str]:
        """Append the stream's data to ``events``; return how it ended, and why if it was lost."""
        body = chat(tokens, stream=True, stream_options={"include_usage": True})
        headers = {REQUEST_ID: name}
        async with self._client.stream(
            "POST", "/v1/chat/completions", json=body, headers=headers
        ) as response:
            if response.status_code != 200:
                return LOST, f"{response.status_code}: {(await response.aread())[:200]!r}"
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    if not events:
                        self._count_started()
                    events.append(line.removeprefix("data: "))
                    if self._over and tokens == ENDLESS_TOKENS and '"content"' in line:
                        return CLOSED, ""
        return judge(events, tokens)

    def _count_started(self) -> None:
        self._started += 1
        if self._started == self._awaited:
            self._all_started.set()


class Newcomers:
    """Short requests that arrive while replicas restart."""

    def __init__(self, client: httpx.AsyncClient):
        self._client = client
        self.answered = 0
        self.unanswered: list[str] = []

    @contextlib.asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        """Send requests during a block, and wait for their answers at its end."""
        over = asyncio.Event()
        task = asyncio.create_task(self._send(over))
        try:
            yield
        finally:
            over.set()
            await task

    async def _send(self, over: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(self._one())
                await asyncio.sleep(NEWCOMER_SECONDS)

    async def _one(self) -> None:
        try:
            response = await self._client.post("/v1/chat/completions", json=chat(2))
        except httpx.HTTPError as error:
            self.unanswered.append(f"{type(error).__name__}: {error}")
        else:
            if response.status_code == 200:
                self.answered += 1
            else:
                self.unanswered.append(f"{response.status_code}: {response.text[:200]}")


class Fleet:
    """Two replicas of a launch behind a balancer.

    Args:
        environ: The environment of each replica.
        folder: The folder for their logs.
        timeout: SHUTDOWN_TIMEOUT.
    """

    def __init__(self, environ: dict[str, str], folder: Path, timeout: int):
        self._environ = {
            **environ,
            "SHUTDOWN_TIMEOUT": str(timeout),
            "ARG": shlex.join(["--hf-overrides", json.dumps(CONTEXT)]),
        }
        self._folder = folder
        self._launches: list[Launch] = []
        self._starts = 0
        self.timeout = timeout

    async def __aenter__(self) -> Fleet:
        try:
            for number in range(REPLICAS):  # in turn: the second uses the first one's compiled code
                self._launches.append(await self._start(number))
        except BaseException:
            await self.__aexit__()
            raise
        self.replicas = [
            Replica(f"replica {number}", launch.port)
            for number, launch in enumerate(self._launches)
        ]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for launch in self._launches:
            await asyncio.to_thread(launch.stop, seconds=self.timeout + 30)

    async def until_ready(self) -> None:
        """Wait until the balancer has seen that every replica is ready."""
        async with asyncio.timeout(SILENT_SECONDS):
            while not all(replica.ready for replica in self.replicas):
                await asyncio.sleep(0.05)

    async def stop(self, number: int) -> tuple[int, float, int]:
        """Send SIGTERM; return the exit code, the seconds, and how many processes remain."""
        launch = self._launches[number]
        tree = descendants(launch.process.pid)
        started = time.monotonic()
        launch.process.send_signal(signal.SIGTERM)

        def ended() -> tuple[int, float]:
            # reads the clock in this thread: an event loop with many streams is late
            code = launch.process.wait(self.timeout + HANGING_SECONDS)
            return code, time.monotonic() - started

        try:
            code, seconds = await asyncio.to_thread(ended)
        finally:
            launch.process.kill()
        return code, seconds, await count_running(tree)

    async def start(self, number: int) -> None:
        """Start a replica again."""
        launch = self._launches[number] = await self._start(number)
        self.replicas[number].restarted_on(launch.port)

    async def _start(self, number: int) -> Launch:
        self._starts += 1
        cores = {"VLLM_CPU_OMP_THREADS_BIND": own_cores(number)}
        launch = Launch({**self._environ, **cores}, self._folder / f"{self._starts}.log")
        try:
            await asyncio.to_thread(launch.until_ready)
        except BaseException:
            launch.stop()
            raise
        return launch


async def restart(
    fleet: Fleet,
    balancer: Balancer,
    client: httpx.AsyncClient,
    number: int,
    streams: int,
    tokens: list[int],
) -> Restart:
    """Restart a replica while streams are in flight; return their results."""
    await fleet.until_ready()
    newcomers, sent_again = Newcomers(client), balancer.sent_again
    flight = Streams(client, balancer, tokens)
    await flight.start(streams)
    in_flight = flight.in_flight
    async with newcomers.arriving():
        code, seconds, left_behind = await fleet.stop(number)
        ends = await flight.ends()
        await fleet.start(number)
        await fleet.until_ready()
    name = fleet.replicas[number].name
    return Restart(
        replica=name,
        tokens=tokens,
        in_flight=in_flight,
        ends=dict(Counter(stream.end for stream in ends)),
        here=dict(Counter(stream.end for stream in ends if stream.replica == name)),
        lost=sorted({stream.why for stream in ends if stream.why}),
        exit_code=code,
        exit_seconds=seconds,
        left_behind=left_behind,
        newcomers=newcomers.answered,
        unanswered=newcomers.unanswered,
        sent_again=balancer.sent_again - sent_again,
    )


async def tokens_per_second(
    balancer: Balancer, client: httpx.AsyncClient, streams: int, tokens: int = 64
) -> float:
    """Return the tokens per second of each of ``streams`` streams, after a round to warm up."""
    for _ in range(2):
        flight = Streams(client, balancer, [tokens])
        started = time.monotonic()
        await flight.start(streams)
        ends = await flight.ends()
        seconds = time.monotonic() - started
        if failed := [stream for stream in ends if stream.end != COMPLETE]:
            raise RuntimeError(f"{len(failed)} streams fail before any restart: {failed[0].why}")
    return tokens / seconds


async def roll(fleet: Fleet, streams: int, restarts: int, key: str) -> list[Restart]:
    """Restart the replicas in turn, ``restarts`` times.

    Args:
        fleet: The replicas, which this function starts and stops.
        streams: Number of streams in flight at each SIGTERM.
        restarts: Number of restarts.
        key: The API key of every replica.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=streams)
    headers = {"Authorization": f"Bearer {key}"}
    done: list[Restart] = []
    async with (
        fleet,
        Balancer(fleet.replicas) as balancer,
        httpx.AsyncClient(
            base_url=balancer.url, headers=headers, timeout=SILENT_SECONDS, limits=limits
        ) as client,
    ):
        await fleet.until_ready()
        speed = await tokens_per_second(balancer, client, streams)
        print_progress(
            f"both are ready; each of {streams} streams gets {speed:.1f} tokens a second"
        )
        for number in range(restarts):
            finishing = max(8, int(speed * fleet.timeout * FINISHING))
            tokens = [finishing] if number // REPLICAS % 2 else [finishing, ENDLESS_TOKENS]
            one = await restart(fleet, balancer, client, number % REPLICAS, streams, tokens)
            done.append(one)
            print_progress(f"restart {number + 1} of {restarts}: {restart_line(one)}")
    return done


def faults(restarts: Sequence[Restart], timeout: int) -> list[str]:
    """Return the faults of all restarts; none if all is well."""
    found = []
    for number, one in enumerate(restarts, 1):
        if one.ends.get(LOST):
            found.append(f"restart {number}: {one.ends[LOST]} lost: {'; '.join(one.lost[:3])}")
        if one.unanswered:
            found.append(
                f"restart {number}: {len(one.unanswered)} new requests were not answered: "
                + one.unanswered[0]
            )
        if one.exit_code != 0:
            found.append(f"restart {number}: exit code {one.exit_code}")
        if one.exit_seconds > timeout + MARGIN_SECONDS:
            found.append(f"restart {number}: {one.exit_seconds:.1f} s from SIGTERM to the exit")
        if one.left_behind:
            found.append(f"restart {number}: {one.left_behind} processes were left behind")
    return found


def restart_line(one: Restart) -> str:
    """Return a restart as a line of text."""
    ends = ", ".join(f"{count} {end}" for end, count in sorted(one.ends.items()))
    here = ", ".join(f"{count} {end}" for end, count in sorted(one.here.items()))
    return (
        f"{one.replica}, {one.in_flight} streams of {' and '.join(map(str, one.tokens))} tokens: "
        f"{ends} (on the replica: {here}); exit "
        f"{one.exit_code} in {one.exit_seconds:.1f} s; {one.newcomers} new requests answered, "
        f"{len(one.unanswered)} not, {one.sent_again} sent again"
    )


def main() -> None:
    """Start two replicas, restart them, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rolling", description=__doc__)
    parser.add_argument(
        "--streams", type=int, default=200, help="number of streams in flight at each SIGTERM"
    )
    parser.add_argument("--restarts", type=int, default=20, help="number of restarts")
    parser.add_argument("--shutdown-timeout", type=int, default=25, help="SHUTDOWN_TIMEOUT")
    parser.add_argument("--logs", type=Path, help="keep the replicas' logs in this folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    timeout = arguments.shutdown_timeout
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        folder = arguments.logs or home
        folder.mkdir(parents=True, exist_ok=True)
        environ = environment(home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE), API_KEY=KEY)
        fleet = Fleet(environ, folder, timeout)
        done = asyncio.run(roll(fleet, arguments.streams, arguments.restarts, KEY))
    found = faults(done, timeout)
    if arguments.json:
        document = {"restarts": [dataclasses.asdict(one) for one in done], "faults": found}
        print(json.dumps(document, indent=1))
    else:
        print(report_text(done, found))
    sys.exit(1 if found else 0)


def report_text(done: Sequence[Restart], found: Sequence[str]) -> str:
    """Return the report as text."""
    ends: Counter[str] = Counter()
    here: Counter[str] = Counter()
    for one in done:
        ends.update(one.ends)
        here.update(one.here)
    in_flight = sum(one.in_flight for one in done)
    seconds = [one.exit_seconds for one in done]
    return "\n".join(
        [
            f"cores: {os.cpu_count()}, {len(done)} restarts, {in_flight} of {ends.total()} streams "
            "in flight at SIGTERM",
            *(
                f"{end + ':':<10} {ends[end]:>6}, on the replica that was stopped {here[end]:>6}"
                for end in (COMPLETE, ENDED, CLOSED, LOST)
            ),
            f"SIGTERM to exit, s: median {statistics.median(seconds):.1f}, max {max(seconds):.1f}",
            f"new requests: {sum(one.newcomers for one in done)} answered, "
            f"{sum(len(one.unanswered) for one in done)} not, "
            f"{sum(one.sent_again for one in done)} sent to the other replica",
            f"verdict: {'; '.join(found) or 'none lost'}",
        ]
    )


if __name__ == "__main__":
    main()
