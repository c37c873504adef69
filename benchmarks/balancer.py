"""A small load balancer for HTTP/1.1: round robin over the replicas that report ready.

It polls each replica's ``/health/ready``, forwards the bytes of an answer as they arrive, and
disconnects from the replica when a client disconnects. It keeps clients' connections open, but
opens a new one to a replica for each request: a server may close an idle connection just when a
request is written to it, and then nobody knows whether it read the request. It sends a request to
another replica only if none can have processed it: the connection was refused, or the answer was
503 and no byte of it has reached the client.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from types import TracebackType

import httptools
import httpx

POLL_SECONDS = 0.5
POLL_TIMEOUT_SECONDS = 10.0
POLL_FAILURES = 3
"""Consecutive unanswered probes after which a replica counts as not ready: Kubernetes' default
``failureThreshold``. A replica that answers "not ready" counts as not ready at once."""
DISCONNECT_CHECK_SECONDS = 0.2
"""How often to check whether the client has disconnected."""
READ_BYTES = 1 << 16
REQUEST_ID = "x-request-id"

NO_REPLICA = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
BAD_GATEWAY = (
    "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{words}"
)
BACKLOG = 1024
"""Connections that may wait to be accepted: hundreds of clients connect at once."""


class IncompleteAnswerError(Exception):
    """The replica closed the connection before the end of its answer."""


@dataclass
class Replica:
    """One server behind the balancer."""

    name: str
    port: int
    """On the loopback address. A restart changes it."""
    ready: bool = False
    failures: int = 0
    """Unanswered probes since the last answer."""

    def restarted_on(self, port: int) -> None:
        """Record that the replica restarted on another port."""
        self.ready = False
        self.failures = 0
        self.port = port


class _Message:
    """The parsed part of a message."""

    parser: httptools.HttpRequestParser | httptools.HttpResponseParser

    def __init__(self) -> None:
        self.request_id: str | None = None
        self.head_done = False
        self.keeps_alive = False
        """Whether the connection stays open afterwards."""
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.decode("latin-1").lower() == REQUEST_ID:
            self.request_id = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.head_done = True
        self.keeps_alive = self.parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.done = True


class Request(_Message):
    """A client's request, and its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.parser = httptools.HttpRequestParser(self)
        self.content = b""

    def feed(self, data: bytes) -> None:
        """Parse the next bytes."""
        self.content += data
        self.parser.feed_data(data)


class Answer(_Message):
    """A replica's answer; its bytes are not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.parser: httptools.HttpResponseParser = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        return self.parser.get_status_code()


class Upstream:
    """A connection to a replica, and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.answer = Answer()
        self._reader = reader
        self._writer = writer

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    def end_request(self) -> None:
        """Close the sending side of the connection, as a client that disconnects does."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def send(self, request: bytes) -> bytes:
        """Send a request; return the bytes of the answer up to the end of its head, or more.

        Raises:
            IncompleteAnswerError: The connection ended before that.
        """
        self.answer = Answer()
        self._writer.write(request)
        received = b""
        while not self.answer.head_done:
            received += await self.more()
        return received

    async def more(self) -> bytes:
        """Return the next bytes of the answer.

        Raises:
            IncompleteAnswerError: The connection ended before the answer.
        """
        try:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise IncompleteAnswerError("closed")
            self.answer.parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as error:
            raise IncompleteAnswerError(f"{type(error).__name__}: {error}") from error
        return data


class Balancer:
    """The load balancer, as an asynchronous context manager.

    Args:
        replicas: The servers that get the requests.
    """

    def __init__(self, replicas: list[Replica]):
        self.replicas = replicas
        self.routes: dict[str, str] = {}
        """The replica that answered, by the client's X-Request-Id."""
        self.sent_again = 0
        """Requests that were sent to another replica because one refused them."""
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=BACKLOG)
        self._poll = asyncio.create_task(self._poll_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in (self._poll, *self._tasks):
            task.cancel()
        await asyncio.gather(self._poll, *self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    @property
    def url(self) -> str:
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def _poll_all(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=POLL_TIMEOUT_SECONDS, limits=limits) as client:
            while True:
                await asyncio.gather(*(self._probe(client, replica) for replica in self.replicas))
                await asyncio.sleep(POLL_SECONDS)

    async def _probe(self, client: httpx.AsyncClient, replica: Replica) -> None:
        port = replica.port
        try:
            answer = await client.get(f"http://127.0.0.1:{port}/health/ready")
        except httpx.HTTPError:
            replica.failures += 1
            replica.ready = replica.ready and replica.failures < POLL_FAILURES
        else:
            replica.failures = 0
            replica.ready = answer.status_code == 200 and port == replica.port

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client's connection, request by request."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError):
                while True:
                    request = await _read_request(reader)
                    if request is None:
                        break
                    await self._answer(request, reader, writer)
                    if not request.keeps_alive:
                        break
        except (IncompleteAnswerError, httptools.HttpParserError, asyncio.CancelledError):
            writer.transport.abort()  # an incomplete answer must not look complete
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        refusal = NO_REPLICA
        untried = self._in_turn()
        while untried:
            replica = untried.pop(0)
            try:
                upstream = Upstream(*await asyncio.open_connection("127.0.0.1", replica.port))
            except OSError:
                replica.ready = False
                self.sent_again += bool(untried)
                continue
            try:
                first = await upstream.send(request.content)
                if upstream.answer.status == 503:
                    while not upstream.answer.done:
                        first += await upstream.more()
                    refusal = first
                    self.sent_again += bool(untried)
                    continue
                if request.request_id is not None:
                    self.routes[request.request_id] = replica.name
                await self._forward(first, upstream, reader, writer)
                return
            except IncompleteAnswerError as error:
                if not upstream.answer.head_done:
                    words = f"{replica.name} gave no answer: {error}"
                    writer.write(BAD_GATEWAY.format(length=len(words), words=words).encode())
                    await writer.drain()
                raise
            finally:
                upstream.close()
        writer.write(refusal)
        await writer.drain()

    async def _forward(
        self,
        first: bytes,
        upstream: Upstream,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Forward an answer as it arrives. If the client closes its side, so does the balancer."""

        async def watch() -> None:
            while not reader.at_eof():
                await asyncio.sleep(DISCONNECT_CHECK_SECONDS)
            upstream.end_request()

        watching = asyncio.create_task(watch())
        try:
            writer.write(first)
            while not upstream.answer.done:
                await writer.drain()
                writer.write(await upstream.more())
            await writer.drain()
        finally:
            watching.cancel()

    def _in_turn(self) -> list[Replica]:
        """Return the ready replicas, starting with the one whose turn it is."""
        self._turn += 1
        count = len(self.replicas)
        turned = [self.replicas[(self._turn + n) % count] for n in range(count)]
        return [replica for replica in turned if replica.ready]


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request, or None at the end of the connection.

    Does not support clients that send a request before the answer to the previous one.
    """
    request = Request()
    while not request.done:
        data = await reader.read(READ_BYTES)
        if not data:
            return None
        request.feed(data)
    return request
