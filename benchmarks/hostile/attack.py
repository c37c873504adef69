"""One hostile request, the connection that it goes by, and what came back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ANSWER_SECONDS = 120.0
"""A whole request that has neither an answer nor a closed connection by then is hung."""
PARTIAL_SECONDS = 0.3
"""How long the answer to what may be half a request is waited for, before the client leaves."""
ANSWER_BYTES = 1 << 20
"""No more of an answer is read: the client leaves."""

_STATUS = re.compile(rb"(?:^|\n)HTTP/1\.1 (\d{3}) ")


class Attack(NamedTuple):
    """What a hostile client sends."""

    kind: str
    payload: bytes
    whole: bool = True
    """Whether it is a whole request, which must get an answer or a closed connection."""
    keyed: bool = True
    """Whether it carries the right key."""
    open_to_all: bool = False
    """Whether it asks for what needs no key."""


class Outcome(NamedTuple):
    """What came back."""

    statuses: tuple[int, ...]
    """The status of each answer on the connection."""
    end: str
    """How the connection ended: ``closed`` by the server, ``reset`` by it, ``left`` by the client,
    or ``hung``."""
    answer: bytes

    @property
    def label(self) -> str:
        """What it is counted as."""
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
    """Return a request whose framing is right, whatever is in it."""
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
    """Return a POST of a JSON document, or of bytes that say that they are one."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return request_bytes("POST", target, [("Content-Type", "application/json")], body, key)


async def send(port: int, attack: Attack) -> Outcome:
    """Send an attack by a connection of its own, and read what comes back."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Outcome((), "refused", b"")
    answer = b""
    seconds = ANSWER_SECONDS if attack.whole else PARTIAL_SECONDS
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
        end = "hung" if attack.whole and not answer else "left"
    except OSError:
        end = "reset"
    finally:
        writer.transport.abort()
    return Outcome(tuple(int(status) for status in _STATUS.findall(answer)), end, answer)


async def get(port: int, target: str, key: str | None = None) -> Outcome:
    """Ask for a path."""
    return await send(port, Attack("good", request_bytes("GET", target, key=key)))


async def trickle(
    port: int, payload: bytes, between: float, seconds: float, at_once: bytes = b""
) -> str:
    """Send bytes one by one, after some at once, and then nothing.

    Returns:
        How it ended: ``refused``, ``closed`` by the server, ``answered``, or ``held`` open for as
        long as the client cared to.
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
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([reading], timeout=max(0.0, left))
        if not reading.done():
            return "held"
        return "answered" if reading.result() else "closed"
    finally:
        reading.cancel()
        writer.transport.abort()


async def _first_bytes(reader: asyncio.StreamReader) -> bytes:
    """Return what comes first, nothing if the connection is closed."""
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""
