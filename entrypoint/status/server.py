"""What answers on PORT until the engine does, and once it does no more.

``/health/live`` is 200 (also under ``/v1``), ``/v1/status`` and ``/metrics`` tell where the launch
is, to those who have a key where there are keys, and all else is 503 with ``Retry-After``, in the
shape of OpenAI's errors, so that clients of either kind understand it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from entrypoint.planning.listen import Listen
from entrypoint.shared.handover import Phase
from entrypoint.shared.keys import Keys
from entrypoint.shared.metrics import CONTENT_TYPE, metrics_text

RETRY_AFTER_SECONDS = 5
"""Told to clients while there is no estimate, and at most six times this where there is one."""

DRAINED_BODY_BYTES = 1 << 20
"""What is read of a request's body before the answer: closing on unread data resets the
connection, and the client would never see the 503."""

LINGER_SECONDS = 5.0
"""How long connections that were accepted before the hand-over may still send their request."""

SETTLE_SECONDS = 0.05
"""How long a connection that was just accepted takes to reach its protocol, and to spare."""

REQUEST_SECONDS = 10.0
"""What a client gets to send the head of its request, and then the body."""

ALIVE = ("/health/live", "/v1/health/live")
"""The second for platforms that pass on nothing but ``/v1``."""
STATUS = ("/v1/status", "/metrics")
"""Where the launch is."""

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Any]
Receive = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may see the status.

    Attributes:
        keys: The keys that are let in; with none, everybody is.
        metrics_public: Whether ``/metrics`` needs no key.
    """

    keys: Keys
    metrics_public: bool = False

    def lets_in(self, path: str, authorization: str) -> bool:
        """Whether a request with this ``Authorization`` header may see the path."""
        if not self.keys or (path == "/metrics" and self.metrics_public):
            return True
        self.keys.reload()
        return self.keys.name_of(authorization) is not None


OPEN = Guard(Keys(()))
"""Lets everybody see it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: str
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


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
    if Phase(status["phase"]).rank < Phase.READY.rank:
        message = (
            f"The model is not ready yet: phase {status['phase']} for "
            f"{status['seconds_in_phase']:.0f} s, {status['seconds']:.0f} s in all{left}."
        )
    else:
        message = "The server is stopping. Ask another, or this one after its restart."
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
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS):
            while read < DRAINED_BODY_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                read += len(message.get("body", b""))


def status_app(status: Callable[[], dict[str, Any]], guard: Guard = OPEN) -> Any:
    """Return the ASGI application.

    Args:
        status: Gives what ``/v1/status`` shows, at each request.
        guard: Who may see it.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await _drain(receive)
        shown = b"".join(value for name, value in scope["headers"] if name == b"authorization")
        authorization = shown.decode(errors="surrogateescape")
        answer = _answer(scope["method"], scope["path"], authorization, status(), guard)
        payload = answer.body.encode()
        # one answer a connection: the next request must reach the engine, not us
        headers = {
            "content-type": answer.content_type,
            "content-length": str(len(payload)),
            "connection": "close",
            **dict(answer.headers),
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


def _answer(
    method: str, path: str, authorization: str, status: dict[str, Any], guard: Guard
) -> _Answer:
    if path not in (*ALIVE, *STATUS):
        wait, error = loading_error(status)
        return _Answer(503, json.dumps(error), headers=(("retry-after", str(wait)),))
    if method not in ("GET", "HEAD"):
        message = f"This server takes GET on {path}, not {method}."
        return _refusal(405, "invalid_request_error", message, ("allow", "GET, HEAD"))
    if path in ALIVE:
        return _Answer(200, json.dumps({"status": "alive"}))
    if not guard.lets_in(path, authorization):
        message = "The API key is missing or wrong. Send it as: Authorization: Bearer KEY."
        return _refusal(401, "authentication_error", message, ("www-authenticate", "Bearer"))
    if path == "/metrics":
        return _Answer(200, metrics_text(status), CONTENT_TYPE)
    return _Answer(200, json.dumps(status))


def _refusal(code: int, kind: str, message: str, header: tuple[str, str]) -> _Answer:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return _Answer(code, json.dumps({"error": error}), headers=(header,))


class _Protocol(H11Protocol):
    """Closes a connection that does not say what it wants."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(REQUEST_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.abort()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone: the supervisor has handlers of its own."""
        yield


class StatusServer:
    """Answers on a listening socket until the engine takes it over; the socket is left open."""

    def __init__(
        self,
        listener: socket.socket,
        listen: Listen,
        status: Callable[[], Any],
        guard: Guard = OPEN,
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
        """Begin to answer."""
        self._own = self._listener.dup()  # uvicorn closes what it is given
        self._task = asyncio.create_task(self._server.serve(sockets=[self._own]))

    def let_go(self) -> None:
        """Accept no more connections; they wait in the socket's queue for the engine."""
        # Not yet Server.close(): before Python 3.12 that strands a connection that has been
        # accepted and not been given to its protocol, and its client waits for ever.
        if self._task is not None and self._own.fileno() != -1:
            self._task.get_loop().remove_reader(self._own)

    async def stop(self, linger: float = LINGER_SECONDS) -> None:
        """Stop accepting at once; connections that are open may finish within ``linger`` seconds.

        What is not accepted waits in the socket's queue for the engine; nothing is refused.
        """
        task = self._task
        if task is None or self._own.fileno() == -1:
            return
        loop = asyncio.get_running_loop()
        self.let_go()
        deadline = loop.time() + linger
        await asyncio.sleep(SETTLE_SECONDS)
        while self._server.server_state.connections and loop.time() < deadline:
            await asyncio.sleep(SETTLE_SECONDS)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.should_exit = self._server.force_exit = True
        with contextlib.suppress(OSError):  # a certificate that has gone since the launch began
            await task
        self._own.close()
