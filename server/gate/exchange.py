"""One request and its answer, which can be brought to a proper end from outside."""

from __future__ import annotations

import json
import time

from starlette.types import Message, Scope, Send

from server.gate.refusal import Refusal, error_body

DONE = b"data: [DONE]\n\n"
CUT = (
    "The server is stopping and this answer was not finished in time. Ask again: another server, "
    "or this one after its restart."
)
RETRY_AFTER_SECONDS = 5


class Exchange:
    """A request in flight: the application sends through it.

    Attributes:
        request_id: What its answer and the log call it.
        method: The request's.
        path: The request's.
        key: Name of the key that it came with.
        began: Seconds of the monotonic clock.
        status: HTTP status of the answer, None before one has begun.
    """

    def __init__(self, scope: Scope, send: Send, request_id: str):
        self.request_id = request_id
        self.method: str = scope.get("method", "WEBSOCKET")
        self.path: str = scope["path"]
        self.key: str | None = None
        self.began = time.monotonic()
        self.status: int | None = None
        self.closing = False
        self._websocket = scope["type"] == "websocket"
        self._raw_send = send
        self._streams = False
        self._between_events = True
        self._said_done = False
        self._finished = False

    async def send(self, message: Message) -> None:
        """Pass the application's message on, unless the exchange has been ended."""
        if self._finished:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if self._streams and body:
                self._between_events = body.endswith(b"\n\n")
                self._said_done = self._said_done or body.endswith(DONE)
            self._finished = not message.get("more_body", False)
        elif message["type"] == "websocket.close":
            self._finished = True
        await self._raw_send(message)

    async def end(self) -> None:
        """Say what the client must know, and end the answer.

        An answer that has not begun becomes a 503, a stream of events gets an error event and
        ``[DONE]``. A body that is half sent has no proper end: its connection is cut, so that
        the client sees that something is missing. The application learns of it as of a client
        that has left, which frees the sequence.
        """
        if self._finished:
            return
        if self._websocket:
            await self.send({"type": "websocket.close", "code": 1012, "reason": CUT[:120]})
        elif self.status is None:
            self.closing = True
            refusal = Refusal(
                503, "service_unavailable", CUT, retry_after=RETRY_AFTER_SECONDS, close=True
            )
            await refusal.answer(self.send)
        elif self._streams:
            await self._raw_end(b"" if self._said_done else self._last_events())

    @property
    def finished(self) -> bool:
        """Whether the answer has been sent to its end."""
        return self._finished

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        headers = [
            (name, value)
            for name, value in message.get("headers", [])
            if name.lower() != b"x-request-id"
        ]
        headers.append((b"x-request-id", self.request_id.encode()))
        for name, value in headers:
            if name.lower() == b"content-type":
                self._streams = value.startswith(b"text/event-stream")
        if self.closing and (b"connection", b"close") not in headers:
            headers.append((b"connection", b"close"))
        message["headers"] = headers

    def _last_events(self) -> bytes:
        lead = b"" if self._between_events else b"\n\n"
        event = b""
        error = error_body(CUT, "service_unavailable", 503)
        if self.path.endswith("/messages"):
            # Anthropic's streams name their events, and their clients look at the names
            event = b"event: error\n"
            error = {"type": "error", "error": {"type": "overloaded_error", "message": CUT}}
        elif self.path.endswith("/responses"):
            event = b"event: error\n"
            error = {"type": "error", "code": "server_error", "message": CUT, "param": None}
        return lead + event + b"data: " + json.dumps(error).encode() + b"\n\n" + DONE

    async def _raw_end(self, body: bytes) -> None:
        self._finished = True
        await self._raw_send({"type": "http.response.body", "body": body, "more_body": False})
