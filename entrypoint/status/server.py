"""The server that answers on PORT before and after the engine does.

- ``/health/live`` and ``/v1/health/live`` answer 200.
- ``/v1/status`` and ``/metrics`` show the launch's status. They require an API key if one is set.
- All other paths answer 503 with ``Retry-After`` and an error in the format of the API called.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from entrypoint.planning.listen import Listen
from entrypoint.shared.api_errors import (
    INVALID_KEY,
    INVALID_REQUEST,
    METHOD,
    STOPPING,
    UNAVAILABLE,
    Api,
    Kind,
    api_of,
    error_body,
)
from entrypoint.shared.cors import Cors
from entrypoint.shared.handover import Phase
from entrypoint.shared.health import HealthState
from entrypoint.shared.keys import MISSING_KEY, Keys
from entrypoint.shared.metrics import CONTENT_TYPE, metrics_text

RETRY_AFTER_SECONDS = 5
"""``Retry-After`` without an estimate; with one it is at most six times this."""

DRAINED_BODY_BYTES = 1 << 20
"""How much of a request's body is read before the answer: closing a connection with unread data
resets it, and the client does not receive the 503."""

LINGER_SECONDS = 5.0
"""How long connections that were accepted before the hand-over may take to send a request."""

SETTLE_SECONDS = 0.05
"""How long an accepted connection takes to reach its protocol, with a margin."""

REQUEST_SECONDS = 10.0
"""How long a client gets to send its request's head, and then the body."""

LIVENESS_PATHS = ("/health/live", "/v1/health/live")
"""The second is for platforms that only route ``/v1``."""
METRICS_PATHS = ("/metrics", "/v1/metrics")  # likewise
STATUS_PATHS = ("/v1/status", *METRICS_PATHS)

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Any]
Receive = Callable[[], Any]
Headers = list[tuple[bytes, bytes]]
"""Names in lower case, and values."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may see the status.

    Attributes:
        keys: The accepted keys; without any, no key is required.
        metrics_public: Whether ``/metrics`` requires no key.
        cors: Which web pages may read the answers.
    """

    keys: Keys
    metrics_public: bool = False
    cors: Cors = field(default_factory=Cors)

    def allows(self, path: str, headers: Headers) -> bool:
        """Whether a request with these headers may see the path."""
        if not self.keys or (path in METRICS_PATHS and self.metrics_public):
            return True
        self.keys.reload()
        return self.keys.name_in(headers) is not None


UNGUARDED = Guard(Keys(()))
"""Requires no key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.

    Attributes:
        status: The HTTP status.
        body: The body.
        headers: The headers, except those that every response has.
    """

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def unavailable(status: dict[str, Any], api: Api = Api.OPENAI) -> Answer:
    """Return the 503 of a server that is loading or stopping.

    Args:
        status: The document of ``/v1/status``.
        api: The API that was called.
    """
    remaining = status["remaining_seconds"]
    wait = RETRY_AFTER_SECONDS
    estimate = ""
    if remaining is not None:
        wait = min(max(1, math.ceil(remaining)), 6 * RETRY_AFTER_SECONDS)
        estimate = f", about {math.ceil(remaining)} s left"
    if HealthState.in_phase(Phase(status["phase"])) is HealthState.STARTING:
        message = (
            f"The model is not ready yet: phase {status['phase']} for "
            f"{status['seconds_in_phase']:.0f} s, {status['seconds']:.0f} s in total{estimate}."
        )
    else:
        message = STOPPING
    return _error(UNAVAILABLE, message, {"retry-after": str(wait)}, api=api, phase=status["phase"])


def _error(
    kind: Kind, message: str, headers: Mapping[str, str], *, api: Api = Api.OPENAI, **details: str
) -> Answer:
    body = json.dumps(error_body(api, kind, message, **details))
    return Answer(kind.statuses[0], body, {"content-type": "application/json", **headers})


async def _drain(receive: Receive) -> None:
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS):
            while read < DRAINED_BODY_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                read += len(message.get("body", b""))


def status_app(status: Callable[[], dict[str, Any]], guard: Guard = UNGUARDED) -> Any:
    """Return the ASGI application.

    Args:
        status: Returns the document of ``/v1/status``.
        guard: Who may see it.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await _drain(receive)
        names = {name.decode("latin-1"): "" for name, _ in scope["headers"]}
        api = api_of(scope["path"], names)
        answer = _answer(scope, status(), guard, api)
        payload = answer.body.encode()
        # one request per connection: the next one must reach the engine
        headers = {
            "content-length": str(len(payload)),
            "connection": "close",
            "vary": "Origin",
            **guard.cors.answer_headers(_header(scope, b"origin")),
            **answer.headers,
        }
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        sent = b"" if scope["method"] == "HEAD" else payload
        await send({"type": "http.response.body", "body": sent})

    return app


def _answer(scope: Scope, status: dict[str, Any], guard: Guard, api: Api) -> Answer:
    method, path = scope["method"], scope["path"].removesuffix("/")
    preflight = _preflight_answer(scope, guard.cors) if method == "OPTIONS" else None
    if preflight is not None:
        return preflight
    if path not in (*LIVENESS_PATHS, *STATUS_PATHS):
        return unavailable(status, api)
    if method not in ("GET", "HEAD"):
        message = f"{path} does not support {method}. Use GET."
        return _error(METHOD, message, {"allow": "GET, HEAD"})
    if path in LIVENESS_PATHS:
        return Answer(200, json.dumps({"status": "alive"}))
    if not guard.allows(path, scope["headers"]):
        return _error(INVALID_KEY, MISSING_KEY, {"www-authenticate": "Bearer"})
    if path in METRICS_PATHS:
        return Answer(200, metrics_text(status), {"content-type": CONTENT_TYPE})
    return Answer(200, json.dumps(status))


def _preflight_answer(scope: Scope, cors: Cors) -> Answer | None:
    """Return the answer to a browser that asks what a page may do, None if it does not ask."""
    origin = _header(scope, b"origin")
    method = _header(scope, b"access-control-request-method")
    if origin is None or method is None:
        return None
    asked = _header(scope, b"access-control-request-headers")
    headers = cors.preflight_headers(asked)
    problem = cors.preflight_problem(origin, method, asked)
    if problem is not None:
        return _error(INVALID_REQUEST, problem, headers)
    return Answer(200, "", headers)


def _header(scope: Scope, name: bytes) -> str | None:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(values) if values else None


class _Protocol(H11Protocol):
    """Closes a connection that does not send a request in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timeout = self.loop.call_later(REQUEST_SECONDS, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timeout.cancel()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        return False  # uvicorn logs two warnings for each offer, and one asks for a package

    def _close_if_idle(self) -> None:
        if self.cycle is None:
            self.transport.abort()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the supervisor's handlers."""
        yield


class StatusServer:
    """Answers on a listening socket until the engine takes it over; leaves the socket open."""

    def __init__(
        self,
        listener: socket.socket,
        listen: Listen,
        status: Callable[[], Any],
        guard: Guard = UNGUARDED,
    ):
        self._listener = listener
        self._server = _Server(
            uvicorn.Config(
                status_app(status, guard),
                loop="asyncio",
                http=_Protocol,
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
        """Start to answer."""
        self._socket = self._listener.dup()  # uvicorn closes its socket
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait in the socket's queue for the engine."""
        # Not Server.close() yet: before Python 3.12 it strands a connection that is accepted but
        # has no protocol yet, and its client waits forever.
        if self._task is not None and self._socket.fileno() != -1:
            self._task.get_loop().remove_reader(self._socket)

    async def stop(self, linger: float = LINGER_SECONDS) -> None:
        """Stop accepting at once; open connections may finish within ``linger`` seconds.

        New connections wait in the socket's queue for the engine; none is refused.
        """
        task = self._task
        if task is None or self._socket.fileno() == -1:
            return
        loop = asyncio.get_running_loop()
        self.stop_accepting()
        deadline = loop.time() + linger
        await asyncio.sleep(SETTLE_SECONDS)
        while self._server.server_state.connections and loop.time() < deadline:
            await asyncio.sleep(SETTLE_SECONDS)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.should_exit = self._server.force_exit = True
        with contextlib.suppress(OSError):  # the certificate was removed since the launch
            await task
        self._socket.close()
