"""The limits with the real engine: a client that leaves frees its sequence, and no key starves
another."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.launch import DEMO, DEMO_CACHE, DRAIN_SECONDS, Launch, environment

KEYS = ("key-of-the-first", "key-of-the-second")
CONCURRENT = 2
QUEUED = 4
MAX_REQUEST_BYTES = 100_000
LONG = 1_900
"""Tokens: a generation that is still running when its client leaves."""
PATIENCE = 60.0

GAUGES = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "inference_server_running_requests",
    "inference_server_waiting_requests",
)
TOKENS = "vllm:generation_tokens_total"

BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "Count: one, two,"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Count to a thousand."}]},
    "/v1/responses": {"input": "Count to a thousand."},
    "/invocations": {"prompt": "Count: one, two,"},
}


@pytest.fixture(scope="module")
def limited(home: Path) -> Iterator[Launch]:
    """The demo model with few places, a short queue and two keys; time for a stream at the stop."""
    keys = home / "keys"
    keys.write_text("\n".join(KEYS))
    launch = Launch(
        environment(
            home,
            MODEL_ID=DEMO,
            HF_HUB_CACHE=str(DEMO_CACHE),
            DTYPE="float32",
            API_KEY_FILE=str(keys),
            MAX_CONCURRENT_REQUESTS=str(CONCURRENT),
            MAX_QUEUED_REQUESTS=str(QUEUED),
            MAX_REQUEST_BYTES=str(MAX_REQUEST_BYTES),
            SHUTDOWN_TIMEOUT=DRAIN_SECONDS,
        ),
        home / "limits.log",
    )
    try:
        yield launch.until_ready()
    finally:
        code = launch.stop()
    assert code == 0, launch.tail()


def gauges(launch: Launch) -> dict[str, float]:
    """Return the requests that run and wait in the engine and at the gate, and the generated
    tokens."""
    status, _, body = launch.ask("/metrics", key=KEYS[0])
    assert status == 200, body
    sums = dict.fromkeys((*GAUGES, TOKENS), 0.0)
    for line in body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        name = name.partition("{")[0]
        if name in sums:
            sums[name] += float(value)
    return sums


def until(launch: Launch, running: int, waiting: int = 0) -> None:
    """Wait until N requests run in the engine and hold a place, and M wait at the gate."""
    wanted = dict(zip(GAUGES, (running, 0, running, waiting), strict=True))
    deadline = time.monotonic() + PATIENCE
    while not wanted.items() <= (seen := gauges(launch)).items():
        assert time.monotonic() < deadline, (seen, launch.tail())
        time.sleep(0.02)


class PendingRequest:
    """A request whose answer has not been read."""

    def __init__(self, launch: Launch, path: str, stream: bool, key: str = KEYS[0]):
        self._connection = http.client.HTTPConnection("127.0.0.1", launch.port, timeout=PATIENCE)
        limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        document = {"model": DEMO, limit: LONG, "stream": stream, "ignore_eos": True}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self._connection.request(
            "POST", path, json.dumps(document | BODIES[path]).encode(), headers
        )

    def status(self) -> int:
        """Wait for the start of the answer; return its status."""
        return self._connection.getresponse().status

    def leave(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
def test_a_client_that_leaves_frees_its_sequence(limited: Launch, path: str, stream: bool) -> None:
    """1. The engine generates a long answer. 2. The client leaves. 3. The engine stops well before
    the end of the answer, and its place is free."""
    until(limited, 0)
    before = gauges(limited)[TOKENS]
    asked = PendingRequest(limited, path, stream)
    until(limited, 1)
    if stream:
        assert asked.status() == 200
    asked.leave()
    until(limited, 0)
    assert gauges(limited)[TOKENS] - before < LONG


def test_clients_that_leave_the_queue_never_reach_the_engine(limited: Launch) -> None:
    until(limited, 0)
    running = [PendingRequest(limited, "/v1/completions", False) for _ in range(CONCURRENT)]
    until(limited, CONCURRENT)
    waiting = [PendingRequest(limited, "/v1/completions", bool(n % 2)) for n in range(QUEUED)]
    until(limited, CONCURRENT, QUEUED)
    for asked in waiting:
        asked.leave()
    until(limited, CONCURRENT, 0)
    for asked in running:
        asked.leave()
    until(limited, 0)


def client(launch: Launch, key: str = KEYS[0], retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{launch.url}/v1", api_key=key, max_retries=retries)


def test_the_official_client_raises_its_own_errors(limited: Launch) -> None:
    """1. A full queue: RateLimitError, with the seconds to wait. 2. A large body: 413."""
    until(limited, 0)
    with client(limited) as api:
        api.models.list()  # the first request is slow; the held ones must not end meanwhile
        held = [
            PendingRequest(limited, "/v1/completions", False) for _ in range(CONCURRENT + QUEUED)
        ]
        until(limited, CONCURRENT, QUEUED)
        with pytest.raises(openai.RateLimitError) as refused:
            api.completions.create(model=DEMO, prompt="Hi", max_tokens=1)
        assert int(refused.value.response.headers["retry-after"]) >= 1
        assert f"MAX_QUEUED_REQUESTS={QUEUED}" in str(refused.value)
        with pytest.raises(openai.APIStatusError) as large:
            api.completions.create(model=DEMO, prompt="x" * MAX_REQUEST_BYTES, max_tokens=1)
        assert large.value.status_code == 413
    for asked in held:
        asked.leave()
    until(limited, 0)


def test_a_key_that_floods_does_not_starve_another(limited: Launch) -> None:
    """1. One key keeps the places and the queue full, and ignores refusals.
    2. Another key sends three requests in turn: each is answered."""
    until(limited, 0)
    stop = threading.Event()
    refused = threading.Event()

    def flood() -> None:
        with client(limited) as api:
            while not stop.is_set():
                try:
                    api.completions.create(
                        model=DEMO, prompt="Hi", max_tokens=50, extra_body={"ignore_eos": True}
                    )
                except openai.RateLimitError:
                    refused.set()
                    stop.wait(0.1)

    flooders = [threading.Thread(target=flood) for _ in range(CONCURRENT + QUEUED + 2)]
    for thread in flooders:
        thread.start()
    try:
        assert refused.wait(PATIENCE)
        with client(limited, KEYS[1]) as api:
            for _ in range(3):
                answer = api.completions.create(model=DEMO, prompt="Hi", max_tokens=5)
                assert answer.choices
    finally:
        stop.set()
        for thread in flooders:
            thread.join(PATIENCE)
    until(limited, 0)


def test_a_running_stream_finishes_after_sigterm(limited: Launch) -> None:
    """1. A long stream runs. 2. SIGTERM. 3. The stream completes. 4. The launch ends.

    The last test of this server.
    """
    until(limited, 0)
    pieces, reason = 0, None
    with client(limited) as api:
        stream = api.completions.create(
            model=DEMO,
            prompt="What is this?",
            max_tokens=1500,
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        for chunk in stream:
            pieces += 1
            if pieces == 5:
                limited.process.send_signal(signal.SIGTERM)
            reason = chunk.choices[0].finish_reason or reason
    assert limited.process.wait(150) == 0
    assert reason == "length"
    assert pieces > 1000
