"""One request and its answer, which the gate can end properly before the application does."""

from __future__ import annotations

import json
import re
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from entrypoint.shared.cors import Cors
from server.gate.refusal import ErrorType, Refusal, error_body
from server.gate.routes import WEBSOCKET

DONE = b"data: [DONE]\n\n"
CUT_SHORT = (
    "The server is stopping and this answer was not finished in time. Use another server, or retry "
    "after it has restarted."
)
RETRY_AFTER_SECONDS = 5

CLIENT_LEFT = 499
"""The status in the log if the client left before the end of its answer, as in nginx's log."""

REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
"""Request ids accepted from clients: they appear in logs and headers."""


class Exchange:
    """A request in flight, through which the application sends its answer.

    Attributes:
        scope: The request's ASGI scope.
        headers: The request's headers.
        request_id: The request's id in the answer, in vLLM and in the log.
        method: The HTTP method, ``WEBSOCKET`` for a WebSocket.
        path: The request's path, with the root path.
        key: Name of the request's key.
        started: Monotonic seconds.
        status: HTTP status of the answer, None before it has started.
        closing: Whether the answer closes its connection.
        finished: Whether the answer has been sent completely.

    Args:
        cors: Which web pages may read the answer.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, cors: Cors | None = None):
        self.scope = scope
        self.headers = MutableHeaders(scope=scope)
        self.request_id = _request_id(self.headers)
        self.method: str = scope.get("method", WEBSOCKET)
        self.path: str = scope["path"]
        self.key: str | None = None
        self.started = time.monotonic()
        self.status: int | None = None
        self.closing = False
        self.finished = False
        self._receive = receive
        self._send = send
        self._client_left = False
        self._ended = False
        self._cors_headers = (cors or Cors()).answer_headers(self.headers.get("origin"))
        self._streams_events = False
        self._between_events = True
        self._done_sent = False

    @property
    def logged_status(self) -> int | None:
        """The status for the log: :data:`CLIENT_LEFT` if the client left before the end."""
        return CLIENT_LEFT if self._client_left else self.status

    async def receive(self) -> Message:
        """Serve as the request's ASGI channel."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not (self.finished or self._ended):
            self._client_left = True
        return message

    async def send(self, message: Message) -> None:
        """Pass the application's message on, unless the answer has finished."""
        if self.finished:
            return
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if self._streams_events and body:
                self._between_events = body.endswith(b"\n\n")
                self._done_sent = self._done_sent or body.endswith(DONE)
            self.finished = not message.get("more_body", False)
        elif message["type"] == "websocket.accept":
            self.status = 101
        elif message["type"] == "websocket.close":
            self.status = self.status or 403  # as uvicorn answers the handshake
            self.finished = True
        await self._send(message)

    async def answer(self, response: Response) -> None:
        """Send a complete answer."""
        await response(self.scope, self.receive, self.send)

    async def end(self) -> None:
        """End the answer, and tell the client why.

        An answer that has not started becomes a 503; a stream of events gets an error event and
        ``[DONE]``. Any other started answer cannot be ended properly: the server closes its
        connection, so that the client notices that a part is missing. To the application it looks
        as if the client had left, which frees the sequence.
        """
        if self.finished:
            return
        self._ended = True
        if self.method == WEBSOCKET:
            await self.send({"type": "websocket.close", "code": 1012, "reason": CUT_SHORT[:120]})
        elif self.status is None:
            refusal = Refusal(
                503, ErrorType.UNAVAILABLE, CUT_SHORT, retry_after=RETRY_AFTER_SECONDS, close=True
            )
            await self.answer(refusal.response())
        elif self._streams_events:
            body = b"" if self._done_sent else self._last_events()
            self.finished = True
            await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _start(self, message: Message) -> None:
        self.status = message["status"]
        message.setdefault("headers", [])
        headers = MutableHeaders(scope=message)
        headers["x-request-id"] = self.request_id
        headers["request-id"] = self.request_id  # where Anthropic's clients look
        headers.update(self._cors_headers)
        if "origin" not in [name.strip().lower() for name in headers.get("vary", "").split(",")]:
            headers.add_vary_header("Origin")
        self._streams_events = headers.get("content-type", "").startswith("text/event-stream")
        if self.closing:
            headers["connection"] = "close"

    def _last_events(self) -> bytes:
        lead = b"" if self._between_events else b"\n\n"
        event = b""
        error = error_body(CUT_SHORT, ErrorType.UNAVAILABLE, 503)
        if self.path.endswith("/messages"):
            # Anthropic's streams name their events, and its clients depend on the names
            event = b"event: error\n"
            error = {"type": "error", "error": {"type": "overloaded_error", "message": CUT_SHORT}}
        elif self.path.endswith("/responses"):
            event = b"event: error\n"
            error = {"type": "error", "code": "server_error", "message": CUT_SHORT, "param": None}
        return lead + event + b"data: " + json.dumps(error).encode() + b"\n\n" + DONE


def _request_id(headers: MutableHeaders) -> str:
    """Return the client's request id; set a new one, which vLLM reads too, if it is unusable."""
    given = headers.getlist("x-request-id")
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    headers["x-request-id"] = made = uuid.uuid4().hex
    return made
