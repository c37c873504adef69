"""The load balancer, in front of servers that answer from a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from benchmarks.balancer import POLL_FAILURES, Balancer, Replica
from tests.support.event_loop import in_event_loop

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Script = Callable[["ScriptedServer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def head_of_request(reader: asyncio.StreamReader) -> bytes:
    """Return the head of the next request; empty at the end of the connection."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


class ScriptedServer:
    """A stand-in for a replica that calls a script for each request."""

    def __init__(self, script: Script, ready: bool = True):
        self.asked = 0
        self.connections = 0
        self.left = asyncio.Event()
        self.ready = ready
        self.deaf = False
        """Whether probes get no answer."""
        self._script = script
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            await self._answer_all(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counted = False
        while head := await head_of_request(reader):
            if head.startswith(b"GET /health/ready "):
                if self.deaf:
                    break
                writer.write(READY if self.ready else BUSY)
                if self.ready:
                    continue
                break
            self.asked += 1
            self.connections += not counted
            counted = True
            await self._script(self, reader, writer)
            if writer.is_closing():
                return
        writer.close()


async def answer(
    server: ScriptedServer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(STREAM + chunk(b"whole") + b"0\r\n\r\n")


async def refuse(
    server: ScriptedServer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(BUSY)
    writer.close()


async def cut(
    server: ScriptedServer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(STREAM + chunk(b"half"))
    await writer.drain()
    writer.close()


async def hang_up(
    server: ScriptedServer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.close()


async def stream_until_left(
    server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(STREAM + chunk(b"first"))
    if not await reader.read():
        server.left.set()
        writer.close()


@asynccontextmanager
async def balanced(*servers: ScriptedServer) -> AsyncIterator[tuple[Balancer, httpx.AsyncClient]]:
    """Yield a client and a balancer that knows which servers are ready."""
    replicas = [Replica(str(number), server.port) for number, server in enumerate(servers)]
    async with Balancer(replicas) as balancer:
        async with asyncio.timeout(10):
            while [replica.ready for replica in replicas] != [server.ready for server in servers]:
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=balancer.url, timeout=10) as client:
            yield balancer, client


@in_event_loop
async def test_replicas_take_turns_on_new_connections() -> None:
    async with (
        ScriptedServer(answer) as first,
        ScriptedServer(answer) as second,
        balanced(first, second) as (balancer, client),
    ):
        for number in range(6):
            came = await client.get("/", headers={"X-Request-Id": str(number)})
            assert came.text == "whole"
        assert first.asked == second.asked == 3
        assert first.connections == second.connections == 3
        assert sorted(balancer.routes.values()) == ["0", "0", "0", "1", "1", "1"]
        assert balancer.sent_again == 0


@in_event_loop
async def test_a_replica_that_is_not_ready_gets_no_request() -> None:
    async with (
        ScriptedServer(answer) as first,
        ScriptedServer(answer, ready=False) as second,
        balanced(first, second) as (_, client),
    ):
        for _ in range(4):
            assert (await client.get("/")).text == "whole"
        assert second.asked == 0


@in_event_loop
async def test_a_request_that_one_replica_refuses_reaches_the_other() -> None:
    async with (
        ScriptedServer(answer) as first,
        ScriptedServer(refuse) as second,
        balanced(first, second) as (balancer, client),
    ):
        for _ in range(4):
            assert (await client.post("/", content=b"a" * 10)).status_code == 200
        assert second.asked == balancer.sent_again >= 1


@in_event_loop
async def test_a_request_that_all_replicas_refuse_is_refused() -> None:
    async with (
        ScriptedServer(refuse) as first,
        ScriptedServer(refuse) as second,
        balanced(first, second) as (_, client),
    ):
        came = await client.get("/")
        assert (came.status_code, came.text) == (503, "busy")


@in_event_loop
async def test_a_replica_is_ready_until_three_probes_fail() -> None:
    """1. One probe gets no answer: the replica is still ready. 2. Three in a row: it is not."""
    async with (
        ScriptedServer(answer) as server,
        balanced(server) as (balancer, _),
    ):
        (replica,) = balancer.replicas
        server.deaf = True
        async with asyncio.timeout(10):
            while not replica.failures:
                await asyncio.sleep(0.01)
            assert replica.ready
            while replica.ready:
                await asyncio.sleep(0.01)
        assert replica.failures == POLL_FAILURES


@in_event_loop
async def test_a_replica_that_refuses_connections_is_skipped() -> None:
    async with ScriptedServer(answer) as first, ScriptedServer(answer) as second:
        async with balanced(first, second) as (balancer, client):
            balancer.replicas[1].restarted_on(1)  # nothing listens there
            balancer.replicas[1].ready = True
            for _ in range(2):
                assert (await client.get("/")).text == "whole"
        assert second.asked == 0


@pytest.mark.parametrize("script", [cut, hang_up])
@in_event_loop
async def test_a_request_that_a_replica_may_have_started_is_not_sent_again(script: Script) -> None:
    """The client gets the incomplete answer, or 502 if the answer never started."""
    async with (
        ScriptedServer(script) as first,
        ScriptedServer(script) as second,
        balanced(first, second) as (_, client),
    ):
        if script is cut:
            with pytest.raises(httpx.HTTPError):
                await client.get("/")
        else:
            came = await client.get("/")
            assert (came.status_code, came.text) == (502, "1 gave no answer: closed")
        assert first.asked + second.asked == 1


@in_event_loop
async def test_a_replica_notices_that_a_client_left() -> None:
    async with (
        ScriptedServer(stream_until_left) as server,
        balanced(server) as (_, client),
    ):
        async with client.stream("GET", "/") as came:
            async for text in came.aiter_text():
                assert text == "first"
                break
        async with asyncio.timeout(10):
            await server.left.wait()
