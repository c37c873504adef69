"""A hostile request, its connection, and the answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ANSWER_SECONDS = 120.0
"""A complete request without an answer or a closed connection after this time has hung."""
PARTIAL_SECONDS = 0.3
"""How long to wait for an answer to a possibly incomplete request before the client leaves."""
ANSWER_BYTES = 1 << 20
"""Bytes of an answer to read before the client leaves."""

_STATUS = re.compile(rb"(?:^|\n)HTTP/1\.1 (\d{3}) ")


class Attack(NamedTuple):
    """A hostile request."""

    kind: str
    payload: bytes
    complete: bool = True
    """Whether the request is complete and must get an answer or a closed connection."""
    keyed: bool = True
    """Whether the request has the right key."""
    open_to_all: bool = False
    """Whether its route needs no key."""


class Outcome(NamedTuple):
    """The result of an attack."""

    statuses: tuple[int, ...]
    """The status of each answer on the connection."""
    end: str
    """How the connection ended: ``closed`` or ``reset`` by the server, ``left`` by the client,
    ``hung``, or ``refused``."""
    answer: bytes

    @property
    def label(self) -> str:
        """The first status, or else the end of the connection."""
        if not self.statuses:
            return self.end
        return str(self.statuses[0])


def request_bytes(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    key: str | None = None,
) -> bytes:
    """Return a request with correct framing around any content."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + (body or b"")


def json_request(
    target: str, document: Mapping[str, object] | bytes, key: str | None = None
) -> bytes:
    """Return a POST of a JSON document, or of bytes labeled as JSON."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return request_bytes("POST", target, [("Content-Type", "application/json")], body, key)


async def send(port: int, attack: Attack) -> Outcome:
    """Send an attack on a new connection, and read the answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Outcome((), "refused", b"")
    answer = b""
    seconds = ANSWER_SECONDS if attack.complete else PARTIAL_SECONDS
    try:
        writer.write(attack.payload)
        async with asyncio.timeout(seconds):
            while len(answer) < ANSWER_BYTES:
                data = await reader.read(1 << 16)
                if not data:
                    end = "closed"
                    break
                answer += data
            else:
                end = "left"
    except TimeoutError:
        end = "hung" if attack.complete and not answer else "left"
    except OSError:
        end = "reset"
    finally:
        writer.transport.abort()
    return Outcome(tuple(int(status) for status in _STATUS.findall(answer)), end, answer)


async def get(port: int, target: str, key: str | None = None) -> Outcome:
    """Send a GET request."""
    return await send(port, Attack("good", request_bytes("GET", target, key=key)))


async def trickle(
    port: int, payload: bytes, between: float, seconds: float, at_once: bytes = b""
) -> str:
    """Send some bytes at once, further bytes one by one, and then nothing.

    Returns:
        How the connection ended: ``refused``, ``closed`` by the server, ``answered``, or ``held``
        open until the time was up.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "refused"
    reading = asyncio.create_task(_first_bytes(reader))
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        writer.write(at_once)
        for position in range(len(payload)):
            if reading.done() or asyncio.get_running_loop().time() > deadline:
                break
            writer.write(payload[position : position + 1])
            await asyncio.wait([reading], timeout=between)
        remaining = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([reading], timeout=max(0.0, remaining))
        if not reading.done():
            return "held"
        return "answered" if reading.result() else "closed"
    finally:
        reading.cancel()
        writer.transport.abort()


async def _first_bytes(reader: asyncio.StreamReader) -> bytes:
    """Return the first bytes of the answer; none if the connection is closed."""
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""
