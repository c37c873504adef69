"""Clients that hold connections open: slow loris and idle connections."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import NamedTuple

from benchmarks.hostile.attack import get, json_request, trickle
from benchmarks.hostile.wire import GOOD_DOCUMENT

BETWEEN_SECONDS = 0.5
"""How long a slow client waits between two bytes."""
PROBE_SECONDS = 1.0


class Held(NamedTuple):
    """The result of holding connections."""

    ends: Counter[str]
    """How often each kind of connection ended in each way, as in ``idle, closed``."""
    good: int
    """Valid requests that were answered meanwhile."""
    bad: int
    """Valid requests that were not."""


def payloads(key: str) -> dict[str, bytes]:
    """Return the bytes that each kind of connection sends slowly."""
    whole = json_request("/v1/completions", GOOD_DOCUMENT, key)
    head, _, _ = whole.partition(b"\r\n\r\n")
    return {
        "idle": b"",
        "slow line": b"GET /" + b"a" * 10_000,
        "slow headers": b"GET /v1/models HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 1_000,
        "slow body": head + b"\r\n\r\n{",
        "no body": head + b"\r\n\r\n",
    }


async def hold(port: int, key: str, connections: int, seconds: float, rng: random.Random) -> Held:
    """Hold connections open, each in a random way, and send valid requests meanwhile.

    A complete head is sent at once, so that the server waits for a body.
    """
    kinds = payloads(key)
    ends: Counter[str] = Counter()

    async def one(name: str) -> None:
        between = BETWEEN_SECONDS if name.startswith("slow ") else 0.0
        payload = kinds[name]
        if b"\r\n\r\n" in payload:
            head, _, rest = payload.partition(b"\r\n\r\n")
            end = await trickle(port, rest, BETWEEN_SECONDS, seconds, at_once=head + b"\r\n\r\n")
        else:
            end = await trickle(port, payload, between, seconds)
        ends[f"{name}, {end}"] += 1

    holding = asyncio.gather(*(one(rng.choice(list(kinds))) for _ in range(connections)))
    good = bad = 0
    while not holding.done():
        answer = await get(port, "/v1/models", key)
        good += answer.statuses == (200,)
        bad += answer.statuses != (200,)
        await asyncio.wait([holding], timeout=PROBE_SECONDS)
    await holding
    return Held(ends, good, bad)
