"""Reads a request's body completely, decoded, within limits of size and time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive

from server.gate.decoding import decode, decoders
from server.gate.refusal import ErrorType, Reason, Refusal

GRACE_SECONDS = 30.0
"""How long a client may take before its body starts, or pause. A retransmission over a bad link
takes about as long."""

MIN_RATE = 1024.0
"""Bytes per second that a body must average after the grace period. The slowest links in use are
faster; a client that trickles bytes to hold a connection is not."""

SMALL_BYTES = 1 << 20
"""Part of each body that does not count toward the memory for large bodies. It holds a prompt the
size of a book, but no picture."""


WORK_BYTES = 1 << 18
"""How much is decoded before other requests get a turn: a millisecond of work or two."""
PIECE_COST = 1 << 10
"""What an empty piece counts as."""


class ClientLeft(Exception):
    """The client closed the connection before its body was complete: nobody reads an answer."""


class BodyTooLarge(Refusal):
    """The body is larger than MAX_REQUEST_BYTES.

    Args:
        limit: MAX_REQUEST_BYTES.
        length: The body's length in bytes, if the client declared it.
        decoded: Whether its Content-Encoding was decoded.
    """

    def __init__(self, limit: int, length: int | None, *, decoded: bool = False):
        size = "" if length is None else f" of {length} bytes"
        size = ", decoded," if decoded else size
        super().__init__(
            413,
            ErrorType.INVALID_REQUEST,
            f"The request's body{size} is larger than MAX_REQUEST_BYTES={limit}.",
            reason=Reason.BODY_TOO_LARGE,
            close=True,
        )


class BodyTooSlow(Refusal):
    """The body arrives too slowly.

    Args:
        received: Bytes that have arrived.
        seconds: Time since the start of the body.
    """

    def __init__(self, received: int, seconds: float):
        self.received = received
        super().__init__(
            408,
            ErrorType.TIMEOUT,
            f"Only {received} bytes of the request's body arrived in {seconds:.0f} s. After "
            f"{GRACE_SECONDS:.0f} s, the body must average {MIN_RATE:.0f} bytes per second.",
            reason=Reason.BODY_TOO_SLOW,
            close=True,
        )


class BodyMemoryFull(Refusal):
    """The large bodies of other requests use all the memory for large bodies.

    Args:
        size: That memory, in bytes.
    """

    def __init__(self, size: int):
        super().__init__(
            429,
            ErrorType.RATE_LIMIT,
            f"Large bodies of other requests use all {size} bytes reserved for them. Retry in 1 s.",
            reason=Reason.BODIES_FULL,
            retry_after=1.0,
            close=True,
        )


class BodyMemory:
    """The memory for all large bodies that are being read or wait.

    Only the part of a body beyond :data:`SMALL_BYTES` counts, so that large bodies never keep out
    small ones.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int):
        self._size = self._free = size

    def resize(self, before: int, now: int) -> None:
        """Account for a body that changes its size from ``before`` to ``now`` bytes.

        Raises:
            BodyMemoryFull: Not enough memory is free.
        """
        more = max(now, SMALL_BYTES) - max(before, SMALL_BYTES)
        if more > self._free:
            raise BodyMemoryFull(self._size)
        self._free -= more


class Body:
    """A complete body.

    Args:
        content: The bytes.
        receive: The request's ASGI channel.
        memory: The memory that the bytes count toward.
    """

    def __init__(self, content: bytes, receive: Receive, memory: BodyMemory):
        self.content = content
        self._receive = receive
        self._memory = memory
        self._replayed = False

    async def replay(self) -> Message:
        """Serve as the application's ASGI channel: the body in one message, then what the request's
        own channel yields, such as the client's disconnect.

        Empties ``content``, so that the bytes are not held until the answer is complete.
        """
        if self._replayed:
            return await self._receive()
        self._replayed = True
        content = self.content
        self.drop()
        return {"type": "http.request", "body": content, "more_body": False}

    def drop(self) -> None:
        """Release the bytes and their memory."""
        self._memory.resize(len(self.content), 0)
        self.content = b""

    async def client_left(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def read_body(
    receive: Receive, headers: MutableHeaders, limit: int, memory: BodyMemory
) -> Body:
    """Read a request's body, and decode it if it is compressed.

    Args:
        receive: The request's ASGI channel.
        headers: The request's headers. They describe the decoded body afterwards.
        limit: Maximum size of the body in bytes, as sent and as decoded.
        memory: The memory of all large bodies. The body occupies its part until it is replayed or
            dropped.

    Raises:
        BodyTooLarge: The body exceeds the limit. Nothing was read if Content-Length exceeds it.
        BodyMemoryFull: Other large bodies use the memory.
        BodyTooSlow: The body arrived too slowly.
        UnsupportedCoding: The server does not decode its Content-Encoding. Nothing was read.
        DamagedBody: It is not what its Content-Encoding states.
        ClientLeft: The client closed the connection.
    """
    # the HTTP parser has refused lengths that are not numbers or contradict each other
    length = int(headers["content-length"]) if "content-length" in headers else None
    if length is not None and length > limit:
        raise BodyTooLarge(limit, length)
    chain = decoders(headers)
    started = asyncio.get_running_loop().time()
    received = 0
    content = bytearray()
    try:
        async with asyncio.timeout_at(started + GRACE_SECONDS) as deadline:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                data = message.get("body", b"")
                more = message.get("more_body", False)
                received += len(data)
                if received > limit:
                    raise BodyTooLarge(limit, length)
                deadline.reschedule(started + GRACE_SECONDS + received / MIN_RATE)
                work = 0
                for piece in decode(chain, data):
                    size = len(content) + len(piece)
                    if size > limit or any(each.decoded > limit for each in chain):
                        raise BodyTooLarge(limit, length, decoded=True)
                    memory.resize(len(content), size)
                    content += piece
                    work += len(piece) + PIECE_COST
                    if chain and work > WORK_BYTES:
                        work = 0
                        await asyncio.sleep(0)  # other requests continue meanwhile
            for each in chain:
                each.finish()
            if "content-encoding" in headers:
                del headers["content-encoding"], headers["transfer-encoding"]
                headers["content-length"] = str(len(content))
            return Body(bytes(content), receive, memory)
    except BaseException as error:
        memory.resize(len(content), 0)
        if isinstance(error, TimeoutError):
            seconds = asyncio.get_running_loop().time() - started
            raise BodyTooSlow(received, seconds) from None
        raise
