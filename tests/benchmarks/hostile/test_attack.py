"""Attacks have correct framing where it matters, and their results are read correctly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.hostile.attack import Attack, json_request, request_bytes, send, trickle

KEY = "right"


def test_a_request_has_correct_framing() -> None:
    assert json_request("/tokenize", {"a": 1}, KEY) == (
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer right\r\n"
        b'Content-Length: 8\r\n\r\n{"a": 1}'
    )


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(answer: Answer, ask: Callable[[int], Awaitable[Any]]) -> Any:
    """Return the result of ``ask`` with the port of a server that runs ``answer``."""

    async def serve_and_ask() -> Any:
        answered = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await answer(reader, writer)
            writer.transport.abort()
            answered.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            came = await ask(server.sockets[0].getsockname()[1])
            await answered.wait()
        await asyncio.sleep(0)  # the transports close in the loop's next turn
        return came

    return asyncio.run(serve_and_ask())


class TestSend:
    def test_each_answer_is_counted(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}\nHTTP/1.1 404 Not Found\r\n\r\n")
            writer.close()

        attack = Attack("a", request_bytes("GET", "/"))
        came = against(answer, lambda port: send(port, attack))
        assert (came.statuses, came.end, came.label) == ((200, 404), "closed", "200")

    def test_the_client_leaves_half_a_request(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        attack = Attack("a", b"GET /", complete=False)
        came = against(answer, lambda port: send(port, attack))
        assert (came.statuses, came.label) == ((), "left")


class TestTrickle:
    def test_a_connection_that_the_server_closes_is_closed(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(3)
            writer.close()

        assert against(answer, lambda port: trickle(port, b"abcdef", 0.01, 30)) == "closed"

    def test_a_connection_that_stays_open_is_held(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        assert against(answer, lambda port: trickle(port, b"", 0.01, 0.1)) == "held"

    def test_bytes_sent_at_once_can_be_answered(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(2)
            writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            await reader.read()
            writer.close()

        came = against(answer, lambda port: trickle(port, b"", 0.01, 30, at_once=b"ab"))
        assert came == "answered"
