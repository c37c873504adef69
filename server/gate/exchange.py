"""One request and its answer, which the gate can end properly before the application does."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Awaitable

from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from entrypoint.shared import api_errors
from entrypoint.shared.api_errors import Kind, api_of, error_body, error_event
from entrypoint.shared.cors import Cors
from server.gate.refusal import ErrorType, Refusal
from server.gate.routes import WEBSOCKET
from server.gate.vllm_errors import VllmError, describe, read_error

DONE = b"data: [DONE]\n\n"
CUT_SHORT = (
    "The server is stopping and this answer was not finished in time. Use another server, or retry "
    "after it has restarted."
)
RETRY_AFTER_SECONDS = 5

CLIENT_LEFT = 499
"""The status in the log if the client left before the end of its answer, as in nginx's log."""

ERROR_BYTES = 64 << 10
"""How much of an error's body is read. vLLM limits its messages to a part of this."""

REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
"""Request ids accepted from clients: they appear in logs and headers."""

_ERROR_EVENTS = (b'data: {"error"', b"event: error\n")
"""How vLLM's events start that report an error. It sends each event on its own."""
_SEQUENCE_NUMBER = re.compile(rb'"sequence_number": ?(\d+)')


class _Rejected:
    """An answer of the application that reports an error, as far as it has come."""

    def __init__(self, start: Message):
        self.start = start
        self.body = b""


class Exchange:
    """A request in flight, through which the application sends its answer.

    Attributes:
        scope: The request's ASGI scope.
        headers: The request's headers.
        request_id: The request's id in the answer, in vLLM and in the log.
        method: The HTTP method, ``WEBSOCKET`` for a WebSocket.
        path: The request's path, with the root path.
        api: The API that was called, which decides the format of errors.
        key: Name of the request's key.
        started: Monotonic seconds.
        status: HTTP status of the answer, None before it has started.
        error: The kind of error that was answered.
        closing: Whether the answer closes its connection.
        finished: Whether the answer has been sent completely.

    Args:
        cors: Which web pages may read the answer.
        root_path: Removed from paths to find the API.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        cors: Cors | None = None,
        root_path: str = "",
    ):
        self.scope = scope
        self.headers = MutableHeaders(scope=scope)
        self.request_id = _request_id(self.headers)
        self.method: str = scope.get("method", WEBSOCKET)
        self.path: str = scope["path"]
        self.api = api_of(get_route_path({"path": self.path, "root_path": root_path}), self.headers)
        self.key: str | None = None
        self.started = time.monotonic()
        self.status: int | None = None
        self.error: Kind | None = None
        self.closing = False
        self.finished = False
        self._receive = receive
        self._send = send
        self._client_left = False
        self._ended = False
        self._cors_headers = (cors or Cors()).answer_headers(self.headers.get("origin"))
        self._rejected: _Rejected | None = None
        self._streams_events = False
        self._between_events = True
        self._done_sent = False
        self._last_event = b""

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

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the application's message on, unless the answer has finished.

        An error is sent in the format of the API that was called. This is no coroutine itself, to
        cost a token less.
        """
        if self._streams_events:
            if message.get("body", b"").startswith(_ERROR_EVENTS):
                message["body"] = self._error_event(message["body"])
        elif self._rejected is not None:
            return self._reject(self._rejected, message)
        elif message["type"] == "http.response.start" and message["status"] >= 400:
            return self._hold(message)
        return self._send_on(message)

    async def answer(self, response: Response) -> None:
        """Send a complete answer as it is."""
        self._rejected = None
        await response(self.scope, self.receive, self._send_on)

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal, unless the answer has started."""
        if self.status is not None or self.finished:
            return
        self.error = refusal.kind
        if self.method == WEBSOCKET and not self._can_answer_handshake():
            await self._send_on({"type": "websocket.close", "code": 1008})
        else:
            await self.answer(refusal.response(self.api, self.request_id))

    async def end(self) -> None:
        """End the answer because the server stops, and tell the client why.

        An answer that has not started becomes a 503; a stream of events gets an error event and
        ``[DONE]``. Any other started answer cannot be ended properly: the server closes its
        connection, so that the client notices that a part is missing. To the application it looks
        as if the client had left, which frees the sequence.
        """
        if self.finished:
            return
        self._ended = True
        if self.method == WEBSOCKET:
            await self._send_on(
                {"type": "websocket.close", "code": 1012, "reason": CUT_SHORT[:120]}
            )
        elif self.status is None:
            await self.refuse(
                Refusal(
                    503,
                    ErrorType.UNAVAILABLE,
                    CUT_SHORT,
                    retry_after=RETRY_AFTER_SECONDS,
                    close=True,
                )
            )
        else:
            await self._end_events(VllmError(api_errors.UNAVAILABLE, CUT_SHORT))

    async def fail(self, error: VllmError, status: int) -> None:
        """End the answer because the application failed.

        Args:
            error: What the client gets to know.
            status: The HTTP status if the answer has not started.
        """
        if self.finished or self.method == WEBSOCKET:
            return
        if self.status is None:
            self.error = error.kind
            await self.answer(self._error_response(error, status))
        else:
            await self._end_events(error)

    async def _send_on(self, message: Message) -> None:
        if self.finished:
            return
        kind = message["type"].removeprefix("websocket.")
        if kind == "http.response.body":
            body = message.get("body", b"")
            if self._streams_events and body:
                self._between_events = body.endswith(b"\n\n")
                self._done_sent = self._done_sent or body.endswith(DONE)
                self._last_event = body
            self.finished = not message.get("more_body", False)
        elif kind == "http.response.start":
            self._start(message)
        elif kind == "accept":
            self.status = 101
        elif kind == "close":
            self.status = self.status or 403  # as uvicorn answers the handshake
            self.finished = True
        await self._send(message)

    async def _hold(self, start: Message) -> None:
        """Keep the start of an error until its body is known."""
        self._rejected = _Rejected(start)

    async def _reject(self, rejected: _Rejected, message: Message) -> None:
        """Collect the body of the application's error, and answer in the API's format."""
        if message["type"] != "http.response.body":
            return
        if len(rejected.body) < ERROR_BYTES:
            rejected.body += message.get("body", b"")
        if message.get("more_body", False):
            return
        status = rejected.start["status"]
        error = read_error(status, rejected.body)
        if error.kind is api_errors.RESPONSE_NOT_FOUND and self.path.endswith("/v1/responses"):
            kind = api_errors.PREVIOUS_RESPONSE_NOT_FOUND
            error = VllmError(kind, error.message, "previous_response_id")
        self.error = error.kind
        response = self._error_response(error, status)
        headers = MutableHeaders(scope=rejected.start)
        headers["content-type"] = response.headers["content-type"]
        headers["content-length"] = response.headers["content-length"]
        self._rejected = None
        await self._send_on(rejected.start)
        await self._send_on({"type": "http.response.body", "body": response.body})

    def _error_response(self, error: VllmError, status: int) -> JSONResponse:
        body = error_body(
            self.api, error.kind, error.message, param=error.param, request_id=self.request_id
        )
        return JSONResponse(body, status)

    def _can_answer_handshake(self) -> bool:
        return "websocket.http.response" in self.scope.get("extensions", {})

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

    def _error_event(self, event: bytes) -> bytes:
        """Return vLLM's event about an error in the format of the API that was called."""
        head, _, rest = event.partition(b"\n\n")
        try:
            error = json.loads(head.rpartition(b"data: ")[2])["error"]
            code, message, param = error.get("code"), str(error["message"]), error.get("param")
        except (ValueError, KeyError, TypeError, AttributeError):
            return event
        # without a code, vLLM reports that it failed itself
        found = describe(code if isinstance(code, int) else 500, message, param)
        return self._event(found) + rest

    def _event(self, error: VllmError) -> bytes:
        self.error = error.kind
        number = _SEQUENCE_NUMBER.findall(self._last_event)
        return error_event(
            self.api,
            error.kind,
            error.message,
            param=error.param,
            request_id=self.request_id,
            sequence_number=int(number[-1]) + 1 if number else 0,
        )

    async def _end_events(self, error: VllmError) -> None:
        """End a stream of events with an error; leave any other answer as it is."""
        if not self._streams_events:
            return
        body = b""
        if not self._done_sent:
            body = b"" if self._between_events else b"\n\n"
            body += self._event(error) + DONE
        self.finished = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _request_id(headers: MutableHeaders) -> str:
    """Return the client's request id; set a new one, which vLLM reads too, if it is unusable."""
    given = headers.getlist("x-request-id")
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    headers["x-request-id"] = made = uuid.uuid4().hex
    return made
