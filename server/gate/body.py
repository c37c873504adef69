"""A request's body: read whole before anything is decided, within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import Message, Receive

GRACE_SECONDS = 30.0
"""What a client may take to begin, and to pause: a retransmission over a bad link takes as long."""

LEAST_RATE = 1024.0
"""Bytes a second that a body must make beyond that, on average since its begin. The slowest links
that people use are faster; a client that trickles to hold a connection is not."""


class BodyError(Exception):
    """The body cannot be used.

    What is left of it has not been read: answer with ``Connection: close``.
    """

    status: int
    reason: str
    """What metrics call it."""


class TooLarge(BodyError):
    """The body is longer than MAX_REQUEST_BYTES.

    Args:
        limit: MAX_REQUEST_BYTES.
        length: Bytes, where the client told.
    """

    status = 413
    reason = "body-too-large"

    def __init__(self, limit: int, length: int | None):
        self.limit = limit
        self.length = length
        what = "" if length is None else f" of {length} bytes"
        super().__init__(f"The request's body{what} is longer than MAX_REQUEST_BYTES={limit}.")


class Slow(BodyError):
    """The body comes more slowly than a client with a use for the answer sends it.

    Args:
        received: Bytes.
        seconds: Since the begin.
    """

    status = 408
    reason = "body-too-slow"

    def __init__(self, received: int, seconds: float):
        self.received = received
        self.seconds = seconds
        super().__init__(
            f"{received} bytes of the request's body came in {seconds:.0f} s; it must make "
            f"{LEAST_RATE:.0f} bytes a second, after {GRACE_SECONDS:.0f} s."
        )


class ClientLeft(BodyError):
    """The client closed the connection before its body was whole; nobody reads an answer."""

    status = 499
    reason = "client-left"


class Body:
    """A whole body.

    Args:
        content: Its bytes.
        receive: The request's own channel, for what comes after.
    """

    def __init__(self, content: bytes, receive: Receive):
        self.content = content
        self._receive = receive
        self._given = False

    async def replay(self) -> Message:
        """The ASGI channel for the application: the body in one message, then what the request's
        own channel says, such as that the client has left.

        ``content`` is empty from then on, so that it is not held as long as the answer takes.
        """
        if self._given:
            return await self._receive()
        self._given = True
        content, self.content = self.content, b""
        return {"type": "http.request", "body": content, "more_body": False}

    async def client_left(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def read_body(receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit: int) -> Body:
    """Read a request's body.

    Args:
        receive: The request's ASGI channel.
        headers: As in the ASGI scope, names in lower case.
        limit: Bytes that a body may have.

    Raises:
        TooLarge: It is longer: at once where Content-Length says so, then nothing was read.
        Slow: It came too slowly.
        ClientLeft: The client closed the connection.
    """
    length = declared_length(headers)
    if length is not None and length > limit:
        raise TooLarge(limit, length)
    begin = asyncio.get_running_loop().time()
    content = bytearray()
    try:
        async with asyncio.timeout_at(begin + GRACE_SECONDS) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft("The client left while it sent the request's body.")
                content += message.get("body", b"")
                if len(content) > limit:
                    raise TooLarge(limit, length)
                if not message.get("more_body", False):
                    return Body(bytes(content), receive)
                deadline.reschedule(begin + GRACE_SECONDS + len(content) / LEAST_RATE)
    except TimeoutError:
        raise Slow(len(content), asyncio.get_running_loop().time() - begin) from None


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the Content-Length, None where there is none.

    The server's parser has refused those that are no number, and those that contradict each other.
    """
    return next((int(value) for name, value in headers if name == b"content-length"), None)
