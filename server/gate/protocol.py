"""HTTP connections with limits on time, size, and number.

uvicorn's protocol limits only how long a connection may idle between two requests. This one also
limits the time and size of a request's head, how long a client may continue to send after its
answer, how slowly it may receive an answer, and the number of connections in the process.

It refuses requests whose end or receiver is ambiguous (see :mod:`server.gate.framing`), and ignores
upgrades to other protocols than WebSocket, as HTTP permits: such a request is answered like any
other. httptools alone reads the body of such a request as the next request.

:mod:`server.internals` lists what this module relies on in uvicorn.
"""

from __future__ import annotations

import asyncio
import enum
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from entrypoint.shared.api_errors import api_of, error_body, kind_of_status
from server.gate.bounds import Bounds, max_connections
from server.gate.framing import (
    Head,
    InvalidRequest,
    check_trailer,
    checked_head,
    is_websocket_handshake,
    without_upgrade,
)

EXTRA_SECONDS = 0.5
"""Extra time before an overdue connection is closed. If this process did not run for a while, its
timers fire before it reads the data that arrived meanwhile."""

ASK_SECONDS = 0.2
"""How long an idle connection stays open when the server stops: a request may be on its way."""

MIN_WRITE_RATE = 1024.0
"""Bytes per second that a client must receive of an answer that waits for it."""


class _Phase(enum.Enum):
    """The state of a connection, which decides its timer."""

    NEW = "no byte has arrived"
    HEAD = "a request's head is arriving"
    REQUEST = "a request is being answered; the application limits the time of its body"
    REST = "a request has been answered and its body is still arriving"
    IDLE = "between two requests; uvicorn's keep-alive limits it"
    CLOSING = "the server has closed its side and discards what arrives"
    GONE = "closed, or handed over to another protocol"


class _Part(enum.Enum):
    """The part of a request that arrives next."""

    NONE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class _AnswerTransport:
    """The transport that an answer writes to. Closing it waits for the remaining body."""

    def __init__(self, protocol: _BoundedProtocol):
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.is_closing()

    def close(self) -> None:
        self._protocol.close()


class _UnchunkedTransport(_AnswerTransport):
    """The same for a client of HTTP/1.0, which knows no chunks: the close ends the answer."""

    CODING = b"\r\ntransfer-encoding: chunked\r\n"

    def __init__(self, protocol: _BoundedProtocol):
        super().__init__(protocol)
        self._chunked: bool | None = None

    def write(self, data: bytes) -> None:
        if self._chunked is None:
            self._chunked = self.CODING in data
            data = data.replace(self.CODING, b"\r\n", 1)
        elif self._chunked:
            size, _, rest = data.partition(b"\r\n")
            data = rest[: int(size or b"0", 16)]
        super().write(data)


class _HeadTooLarge(Exception):
    """Raised in the parser's callbacks to stop it."""


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol based on httptools, with limits.

    httptools itself has none, and buffers an incomplete header for as long as it grows.
    """

    bounds: Bounds
    waiting: OrderedDict[_BoundedProtocol, None]
    """Connections of this process that wait for a request, the longest-waiting first."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.url = b""  # uvicorn sets it with a request's first byte
        self._phase: _Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._any_received = False
        self._overdue = False
        self._part = _Part.NONE
        self._cycles: list[RequestResponseCycle] = []
        """Requests without a complete answer."""
        self._head_bytes = 0
        """Size of the current head as far as it is parsed."""
        self._head_headers = 0
        """Number of headers in it."""
        self._unparsed_bytes = 0
        """Bytes that arrived since the parser last completed a head, a chunk, or a request."""
        self._parser_advanced = False
        """Whether the parser completed one of these in the current data."""
        self._keep_alive = False
        """Whether the connection stays open once a body that the client holds back has arrived."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._update_phase()
        limit = self.bounds.connections
        if limit is None:
            limit = max_connections()
        if len(self.connections) > limit:
            oldest, _ = self.waiting.popitem(last=False)
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._abandon()
        self._release()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn keeps it if the client reset the connection
        # they refer to this object: without them it is freed at once, not by the next collection
        self._cycles.clear()
        self.pipeline.clear()
        self.cycle = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.CLOSING:
            return
        self._any_received = True
        if self._part is _Part.NONE:
            self._part = _Part.HEAD
            self._head_bytes = self._unparsed_bytes = 0
        self._parser_advanced = False
        self._unset_keepalive_if_required()
        self._parse(data)
        self._update_phase()
        if self._parser_advanced:
            self._unparsed_bytes = self._head_bytes if self._part is _Part.HEAD else 0
        else:
            # part of an incomplete header, chunk extension, or trailer
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > self.bounds.head_bytes:
                self._refuse_head()

    def shutdown(self) -> None:
        """Close the connection because the server stops, after a moment if it is idle."""
        if self._phase in (_Phase.NEW, _Phase.HEAD, _Phase.IDLE):
            self._start_timer(ASK_SECONDS, self.transport.close)
        else:
            self._keep_alive = False
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_check(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_check()

    def on_message_begin(self) -> None:
        self._part = _Part.HEAD
        self._head_bytes = self._head_headers = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is _Part.BODY:
            check_trailer(name)
            return  # it must not become a header
        self._head_headers += 1
        self._count_head(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        self._check_head()
        if self._ignores_upgrade():
            return
        self._part = _Part.BODY
        self._parser_advanced = True
        last = self.cycle
        super().on_headers_complete()
        if self.cycle is not last:
            old = self.scope["http_version"] == "1.0"
            answer = _UnchunkedTransport(self) if old else _AnswerTransport(self)
            self.cycle.transport = cast(asyncio.Transport, answer)
            self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
            self._cycles.append(self.cycle)
            if self.expect_100_continue:
                # the client may not send its body after an answer: what follows is ambiguous
                self._keep_alive = self.cycle.keep_alive
                self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        """Note the start of a chunk; httptools calls this if it exists."""
        self._parser_advanced = True

    def on_body(self, body: bytes) -> None:
        self._parser_advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._ignores_upgrade():
            return
        self._part = _Part.NONE
        self._parser_advanced = True
        super().on_message_complete()
        if self.expect_100_continue and not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is _Phase.CLOSING:
            self._unset_keepalive_if_required()
        elif not self.transport.is_closing():
            self._update_phase()

    def handle_websocket_upgrade(self) -> None:
        self._release()
        super().handle_websocket_upgrade()

    def is_closing(self) -> bool:
        """Whether the client gets nothing more."""
        return self._phase is _Phase.CLOSING or self.transport.is_closing()

    def close(self) -> None:
        """Close the connection once the client has its answer."""
        if self._part is _Part.BODY and not self.transport.is_closing():
            self._linger()
        else:
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        """Parse data that arrived. The offer of an upgrade is removed if it is ignored."""
        remaining = memoryview(data)
        try:
            while remaining:
                try:
                    self.parser.feed_data(remaining)
                    return
                except httptools.HttpParserUpgrade as upgrade:
                    remaining = remaining[upgrade.args[0] :]
                if self._should_upgrade():
                    self._upgrade(remaining)
                    return
                # the parser skips the body of such a request, so another one parses it
                head = without_upgrade(self._head())
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
        except httptools.HttpParserError as error:
            self._refuse_request(error)

    def _upgrade(self, remaining: memoryview) -> None:
        if remaining:
            self._refuse(
                HTTPStatus.BAD_REQUEST, "The client sent data before its WebSocket was accepted."
            )
        else:
            self.handle_websocket_upgrade()

    def _head(self) -> Head:
        version = self.parser.get_http_version()
        return Head(self.parser.get_method(), self.url, version, self.headers)

    def _check_head(self) -> None:
        head = self._head()
        checked = checked_head(head)
        if checked is not head:
            self.url = checked.target
            self.headers[:] = checked.headers
        if head.version == "1.0":  # such a client does not know the status 100
            self.expect_100_continue = False

    def _should_upgrade(self) -> bool:
        """Whether the connection becomes a WebSocket, which ends its HTTP requests."""
        return (
            super()._should_upgrade_to_ws()
            and (self.cycle is None or self.cycle.response_complete)
            and is_websocket_handshake(self._head())
        )

    def _ignores_upgrade(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def _abandon(self) -> bool:
        """Disconnect all incomplete answers; return whether one of them had started."""
        # uvicorn itself disconnects only the last of several pipelined requests
        incomplete = [cycle for cycle in self._cycles if not cycle.response_complete]
        for cycle in incomplete:
            cycle.disconnected = True
            cycle.message_event.set()
        return any(cycle.response_started for cycle in incomplete)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer something that is not a valid request, and close the connection."""
        if self.is_closing():
            return
        self.logger.warning("Refused a request: %s", message)
        if self._abandon():
            # an error must not be written into the middle of another answer
            self.transport.close()
            return
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        body = error_body(api_of(path, {}), kind_of_status(status), message)
        response = JSONResponse(body, status, {"connection": "close"})
        lines = [
            b"HTTP/1.1 %d %s" % (status, status.phrase.encode()),
            *(name + b": " + value for name, value in response.raw_headers),
            b"",
            response.body,
        ]
        self.transport.write(b"\r\n".join(lines))
        self._linger()

    def _refuse_request(self, error: httptools.HttpParserError) -> None:
        reason = error.__context__
        if self._head_is_too_large():
            self._refuse_head()
        elif isinstance(reason, InvalidRequest):
            self._refuse(reason.status, str(reason))
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, f"The request is not valid HTTP/1.1: {error}.")

    def _refuse_head(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"The request's head is larger than {self.bounds.head_bytes} bytes, or has more than "
            f"{self.bounds.headers} headers.",
        )

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_is_too_large():
            raise _HeadTooLarge

    def _head_is_too_large(self) -> bool:
        return self._head_bytes > self.bounds.head_bytes or self._head_headers > self.bounds.headers

    def _update_phase(self) -> None:
        """Enter the phase that the connection is in now."""
        phase = self._current_phase()
        if phase is self._phase or self._phase in (_Phase.CLOSING, _Phase.GONE):
            return
        self._enter(phase)
        if phase is _Phase.REQUEST:
            self.waiting.pop(self, None)
        else:
            self.waiting[self] = None

    def _current_phase(self) -> _Phase:
        if self.cycle is not None and not self.cycle.response_complete:
            return _Phase.REQUEST
        match self._part:
            case _Part.BODY:
                return _Phase.REST
            case _Part.HEAD:
                return _Phase.HEAD
        return _Phase.IDLE if self._any_received else _Phase.NEW

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._overdue = False
        self._stop_timer()
        match phase:
            case _Phase.NEW | _Phase.HEAD:
                self._start_timer(self.bounds.header_seconds, self._close_overdue)
            case _Phase.REST | _Phase.CLOSING:
                self._start_timer(self.bounds.linger_seconds, self._close_overdue)

    def _start_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_overdue(self) -> None:
        if not self._overdue:
            self._overdue = True
            self._start_timer(EXTRA_SECONDS, self._close_overdue)
            return
        if self._phase is _Phase.HEAD:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The request's head was incomplete {self.bounds.header_seconds:g} s after its "
                "first byte.",
            )
        if self._phase is _Phase.CLOSING:
            self.transport.abort()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._enter(_Phase.CLOSING)
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _release(self) -> None:
        """Stop managing the connection: it has ended, or another protocol manages it."""
        self.waiting.pop(self, None)
        self._enter(_Phase.GONE)
        self._stop_write_check()

    def _start_write_check(self, before: int) -> None:
        self._stop_write_check()
        self._write_timer = self.loop.call_later(
            self.bounds.write_seconds, self._check_write, before
        )

    def _stop_write_check(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _check_write(self, before: int) -> None:
        remaining = self.transport.get_write_buffer_size()
        if before - remaining < self.bounds.write_seconds * MIN_WRITE_RATE:
            self.transport.abort()
        else:
            self._start_write_check(remaining)


def protocol_class(bounds: Bounds | None = None) -> type[asyncio.Protocol]:
    """Return the protocol class to pass to ``uvicorn.Config`` as ``http``.

    Each call makes a class that counts its own connections: call it once per process.

    Args:
        bounds: The limits; the defaults if not given.
    """

    class Protocol(_BoundedProtocol):
        pass

    Protocol.bounds = bounds or Bounds()
    Protocol.waiting = OrderedDict()
    return Protocol
