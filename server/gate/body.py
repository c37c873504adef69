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


SMALL_BYTES = 1 << 20
"""What a body may take without a look at the others: a prompt as long as a book, no picture."""


class BodyError(Exception):
    """The body cannot be used.

    What is left of it has not been read: answer with ``Connection: close``.
    """

    status: int
    kind = "invalid_request_error"
    """The error's ``type``."""
    reason: str
    """What metrics call it."""
    retry_after: float | None = None
    """Seconds after which the client may ask again."""


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
    kind = "timeout_error"
    reason = "body-too-slow"

    def __init__(self, received: int, seconds: float):
        self.received = received
        self.seconds = seconds
        super().__init__(
            f"{received} bytes of the request's body came in {seconds:.0f} s; it must make "
            f"{LEAST_RATE:.0f} bytes a second, after {GRACE_SECONDS:.0f} s."
        )


class NoRoom(BodyError):
    """Other large bodies take all the memory that there is for them.

    Args:
        size: That memory, in bytes.
    """

    status = 429
    kind = "rate_limit_error"
    reason = "bodies-full"
    retry_after = 1.0

    def __init__(self, size: int):
        super().__init__(
            f"The large bodies of other requests fill the {size} bytes that there are for them; "
            f"try again in {self.retry_after:.0f} s."
        )


class ClientLeft(BodyError):
    """The client closed the connection before its body was whole; nobody reads an answer."""

    status = 499
    reason = "client-left"


class Room:
    """The memory for all large bodies that are read, or wait for their turn.

    Only what a body has beyond :data:`SMALL_BYTES` counts: nobody who fills the room keeps out
    the requests of others, which are small.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int):
        self._size = self._left = size

    def grow(self, before: int, now: int) -> None:
        """Have a body grow, or shrink, from so many bytes to so many.

        Raises:
            NoRoom: There are not so many left.
        """
        more = max(now, SMALL_BYTES) - max(before, SMALL_BYTES)
        if more > self._left:
            raise NoRoom(self._size)
        self._left -= more


class Body:
    """A whole body.

    Args:
        content: Its bytes.
        receive: The request's own channel, for what comes after.
        room: Where its bytes were taken from.
    """

    def __init__(self, content: bytes, receive: Receive, room: Room):
        self.content = content
        self._receive = receive
        self._room = room
        self._given = False

    async def replay(self) -> Message:
        """The ASGI channel for the application: the body in one message, then what the request's
        own channel says, such as that the client has left.

        ``content`` is empty from then on, so that it is not held as long as the answer takes.
        """
        if self._given:
            return await self._receive()
        self._given = True
        content = self.content
        self.drop()
        return {"type": "http.request", "body": content, "more_body": False}

    def drop(self) -> None:
        """Let go of the bytes."""
        self._room.grow(len(self.content), 0)
        self.content = b""

    async def client_left(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def read_body(
    receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit: int, room: Room
) -> Body:
    """Read a request's body.

    Args:
        receive: The request's ASGI channel.
        headers: As in the ASGI scope, names in lower case.
        limit: Bytes that a body may have.
        room: What all large bodies together may take; the body holds its part until it is
            replayed or dropped.

    Raises:
        TooLarge: It is longer: at once where Content-Length says so, then nothing was read.
        NoRoom: Other large bodies take the room.
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
                piece = message.get("body", b"")
                if len(content) + len(piece) > limit:
                    raise TooLarge(limit, length)
                room.grow(len(content), len(content) + len(piece))
                content += piece
                if not message.get("more_body", False):
                    return Body(bytes(content), receive, room)
                deadline.reschedule(begin + GRACE_SECONDS + len(content) / LEAST_RATE)
    except BaseException as error:
        room.grow(len(content), 0)
        if isinstance(error, TimeoutError):
            seconds = asyncio.get_running_loop().time() - begin
            raise Slow(len(content), seconds) from None
        raise


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the Content-Length, None where there is none.

    The server's parser has refused those that are no number, and those that contradict each other.
    """
    return next((int(value) for name, value in headers if name == b"content-length"), None)
