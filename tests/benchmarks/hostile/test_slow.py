"""Connections are held open while valid requests are answered."""

from __future__ import annotations

import asyncio
import contextlib
import random

from benchmarks.hostile.slow import hold, payloads
from tests.support.event_loop import in_event_loop

KEY = "right"
MODELS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a complete request for the models, and hold every other connection."""
    with contextlib.suppress(ConnectionError):
        data = b""
        while more := await reader.read(1 << 16):
            data += more
            if data.startswith(b"GET /v1/models ") and data.endswith(b"\r\n\r\n"):
                writer.write(MODELS)
                break
    writer.close()


@in_event_loop
async def test_held_connections_and_valid_requests_are_counted() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        held = await hold(port, KEY, connections=20, seconds=0.2, rng=random.Random(0))
    assert all(end.endswith(", held") for end in held.ends)
    assert held.ends.total() == 20
    assert held.good >= 1
    assert held.bad == 0


def test_only_slow_heads_lack_the_end_of_the_head() -> None:
    """A complete head makes the server wait for a body."""
    complete = {kind for kind, payload in payloads(KEY).items() if b"\r\n\r\n" in payload}
    assert complete == {"slow body", "no body"}
