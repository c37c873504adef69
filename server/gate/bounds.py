"""Limits on what a connection may use: time, size, and number."""

from __future__ import annotations

import resource
from dataclasses import dataclass

HEADER_SECONDS = 10.0
"""Time limit from the start of a connection to a request's first byte, and from there to the end of
its head."""

HEAD_BYTES = 64 << 10
"""Size limit of a request line with headers, and of the framing of a chunked body. Proxies allow 8
to 64 KiB."""

HEADERS = 128
"""Maximum number of headers: more than a dozen proxies add."""

LINGER_SECONDS = 5.0
"""How long a client may continue to send after its answer. Closing a connection with unread data
resets it, and the client would never see why its request was refused."""

WRITE_SECONDS = 60.0
"""How often to check whether a client receives its answer."""


@dataclass(frozen=True)
class Bounds:
    """The limits of a connection.

    Args:
        header_seconds: For a request's head.
        head_bytes: Of a request's head.
        headers: Of a request.
        linger_seconds: For what a client still sends after its answer.
        write_seconds: Interval of the check whether the client receives its answer.
        connections: Maximum number of open connections. Beyond it, the connection that has waited
            longest for a request is closed. None means :func:`max_connections` at the time of each
            connection: vLLM raises the limit of open files as it starts.
    """

    header_seconds: float = HEADER_SECONDS
    head_bytes: int = HEAD_BYTES
    headers: int = HEADERS
    linger_seconds: float = LINGER_SECONDS
    write_seconds: float = WRITE_SECONDS
    connections: int | None = None


def max_connections() -> int:
    """Return half of the number of files that the process may open.

    The other half is for the engine's files, and for connections that are accepted in one batch
    before the first of them is handled.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 2
