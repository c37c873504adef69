"""What answers on PORT until the engine does.

``/health/live`` is 200 (also under ``/v1``), ``/v1/status`` tells where the launch is, and all else
is 503 with ``Retry-After``, in the shape of OpenAI's errors, so that clients of either kind
understand it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import Callable, Generator
from typing import Any

import uvicorn

from entrypoint.listener import Listen

RETRY_AFTER_SECONDS = 5
"""Told to clients while there is no estimate, and at most six times this where there is one."""

DRAINED_BODY_BYTES = 1 << 20
"""What is read of a request's body before the answer: closing on unread data resets the
connection, and the client would never see the 503."""

LINGER_SECONDS = 5.0
"""How long connections that were accepted before the hand-over may still send their request."""

SETTLE_SECONDS = 0.05
"""How long a connection that was just accepted takes to reach its protocol, and to spare."""

ALIVE = ("/health/live", "/v1/health/live")
"""The second for platforms that pass on nothing but ``/v1``."""

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Any]
Receive = Callable[[], Any]


def loading_error(status: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the seconds for ``Retry-After`` and the body of a 503.

    Args:
        status: What ``/v1/status`` shows.
    """
    remaining = status["remaining_seconds"]
    wait = RETRY_AFTER_SECONDS
    left = ""
    if remaining is not None:
        wait = min(max(1, math.ceil(remaining)), 6 * RETRY_AFTER_SECONDS)
        left = f", about {math.ceil(remaining)} s left"
    message = (
        f"The model is not ready yet: phase {status['phase']} for "
        f"{status['seconds_in_phase']:.0f} s, {status['seconds']:.0f} s in all{left}."
    )
    return wait, {
        "error": {
            "message": message,
            "type": "service_unavailable",
            "param": None,
            "code": 503,
            "phase": status["phase"],
        }
    }


async def _drain(receive: Receive) -> None:
    read = 0
    while read < DRAINED_BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
        read += len(message.get("body", b""))


def status_app(status: Callable[[], dict[str, Any]]) -> Any:
    """Return the ASGI application.

    Args:
        status: Gives what ``/v1/status`` shows, at each request.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await _drain(receive)
        code, headers, body = _answer(scope["path"], status())
        payload = json.dumps(body).encode()
        # one answer a connection: the next request must reach the engine, not us
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(payload)).encode()),
            (b"connection", b"close"),
            *headers,
        ]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        sent = b"" if scope["method"] == "HEAD" else payload
        await send({"type": "http.response.body", "body": sent})

    return app


def _answer(
    path: str, status: dict[str, Any]
) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
    if path in ALIVE:
        return 200, [], {"status": "alive"}
    if path == "/v1/status":
        return 200, [], status
    wait, error = loading_error(status)
    return 503, [(b"retry-after", str(wait).encode())], error


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone: the supervisor has handlers of its own."""
        yield


class StatusServer:
    """Answers on a listening socket until the engine takes it over."""

    def __init__(self, listener: socket.socket, listen: Listen, status: Callable[[], Any]):
        self._listener = listener
        self._server = _Server(
            uvicorn.Config(
                status_app(status),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                ssl_certfile=listen.tls_certificate,
                ssl_keyfile=listen.tls_key,
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def stop(self, linger: float = LINGER_SECONDS) -> None:
        """Stop accepting at once; connections that are open may finish within ``linger`` seconds.

        What is not accepted waits in the socket's queue for the engine; nothing is refused.
        """
        task = self._task
        if task is None or self._listener.fileno() == -1:
            return
        loop = asyncio.get_running_loop()
        # Not yet Server.close(): before Python 3.12 that strands a connection that has been
        # accepted and not been given to its protocol, and its client waits for ever.
        loop.remove_reader(self._listener)
        deadline = loop.time() + linger
        await asyncio.sleep(SETTLE_SECONDS)
        while self._server.server_state.connections and loop.time() < deadline:
            await asyncio.sleep(SETTLE_SECONDS)
        self._server.should_exit = True
        await task
