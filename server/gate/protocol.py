"""HTTP connections that cannot be held for nothing.

uvicorn's protocols bound only what an idle connection may wait between two requests. Here a
request's head is bounded in time and in size, an answered request's body in what it may still
take, an answer in how slowly it is taken, and the process in the connections that it holds.
"""

from __future__ import annotations

import asyncio
import enum
import json
import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.gate.refusal import error_body

HEADER_SECONDS = 10.0
"""From a connection's begin to a request's first byte, and from that to the end of its head."""

HEAD_BYTES = 64 << 10
"""Of a request's line and headers, and of what frames a chunked body. Proxies stop at 8 to 64 KiB.
"""

HEADERS = 128
"""Headers of a request: more than a dozen proxies add."""

LINGER_SECONDS = 5.0
"""What a client may go on sending after its answer. Closing on unread data resets a connection,
and the client would never see why it was refused."""

LOOK_SECONDS = 0.5
"""What a connection gets beyond its time. On a busy machine this process may have stood still: its
timers come before what has arrived meanwhile, which must be read first."""

ASK_SECONDS = 0.2
"""What a connection that waits for a request gets when the server ends: one may be on its way."""

WRITE_SECONDS = 60.0
"""How often it is looked at whether a client takes its answer."""

WRITE_RATE = 1024.0
"""Bytes a second that a client must take of an answer that waits for it."""


def most_connections() -> int:
    """Return how many connections may be open: half of the files that the process may have open.

    The rest is for the engine's own files, and for connections that are accepted in one go before
    any of them is seen.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 2


@dataclass(frozen=True)
class Bounds:
    """What a connection may take.

    Args:
        header_seconds: For a request's head.
        head_bytes: Of a request's head.
        headers: Of a request.
        linger_seconds: For what a client still sends after its answer.
        write_seconds: How often it is looked at whether an answer is taken.
        connections: Open ones; beyond that, those that wait for a request are closed, first the
            one that has waited longest. None derives it when the first connection is made: vLLM
            raises the limit of open files as it starts.
    """

    header_seconds: float = HEADER_SECONDS
    head_bytes: int = HEAD_BYTES
    headers: int = HEADERS
    linger_seconds: float = LINGER_SECONDS
    write_seconds: float = WRITE_SECONDS
    connections: int | None = None


class _Phase(enum.Enum):
    NEW = "no byte has come"
    HEAD = "a request's head comes"
    REQUEST = "a request is answered; its body's time is the application's to bound"
    REST = "a request has been answered, and its body still comes"
    IDLE = "between two requests; uvicorn's keep-alive bounds it"
    CLOSING = "closed for us; what comes is thrown away"
    GONE = "closed, or another protocol's"


class _Part(enum.Enum):
    BETWEEN = "requests"
    HEAD = "head"
    BODY = "body"


class _Outlet:
    """The transport as a request's answer sees it: closing it waits for the rest of the body."""

    def __init__(self, protocol: _Bounded):
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        self._protocol.close()


class _HeadTooLarge(Exception):
    """Raised out of the parser's callbacks, to stop it."""


class _Bounded(HttpToolsProtocol):
    """uvicorn's protocol on httptools, which bounds nothing itself, and keeps what it has of a
    header until that is whole."""

    bounds: Bounds
    waiting: OrderedDict[_Bounded, None]
    """Connections of this process that wait for a request, the one that waits longest first."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._phase: _Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._heard = False
        self._overdue = False
        self._part = _Part.BETWEEN
        """What comes next, or is coming."""
        self._cycles: list[RequestResponseCycle] = []
        """Requests that have no whole answer yet."""
        self._told_bytes = 0
        """Of the head that comes now, what the parser has told."""
        self._told_headers = 0
        self._unseen_bytes = 0
        """What came since the parser has told nothing."""
        self._ended = False
        """Whether a request ended in what comes now."""
        self._moved = False
        """Whether a part of a body was in it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._follow()
        most = self.bounds.connections
        if most is None:
            most = most_connections()
        if len(self.connections) > most:
            oldest, _ = self.waiting.popitem(last=False)
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._abandon()
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.CLOSING:
            return
        self._heard = True
        if self._part is _Part.BETWEEN:
            self._part = _Part.HEAD
            self._told_bytes = self._unseen_bytes = 0
        self._ended = self._moved = False
        super().data_received(data)
        self._follow()
        if self._ended or self._moved:
            self._unseen_bytes = self._told_bytes if self._part is _Part.HEAD else 0
        else:
            # of a header, a chunk's extension or a trailer that has not ended yet
            self._unseen_bytes += len(data)
            if self._unseen_bytes > self.bounds.head_bytes:
                self._refuse_head()

    def shutdown(self) -> None:
        """End the connection with the server: at once, unless a request may be on its way."""
        if self._phase in (_Phase.NEW, _Phase.HEAD, _Phase.IDLE):
            self._set_timer(ASK_SECONDS, self.transport.close)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_write(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unwatch_write()

    def on_message_begin(self) -> None:
        self._part = _Part.HEAD
        self._told_bytes = self._told_headers = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._tell(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is _Part.BODY:
            return  # a trailer, which must not be taken for a header
        self._told_headers += 1
        self._tell(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._part = _Part.BODY
        self._moved = True
        last = self.cycle
        super().on_headers_complete()
        if self.cycle is not last:
            self.cycle.transport = cast(asyncio.Transport, _Outlet(self))
            self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
            self._cycles.append(self.cycle)

    def on_chunk_header(self) -> None:
        """A chunk begins; httptools looks for this name."""
        self._moved = True

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._part = _Part.BETWEEN
        self._ended = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is _Phase.CLOSING:
            self._unset_keepalive_if_required()
        elif not self.transport.is_closing():
            self._follow()

    def handle_websocket_upgrade(self) -> None:
        self._let_go()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        if self._head_is_too_large():
            self._refuse_head()
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def close(self) -> None:
        """Close once the client has had its answer."""
        if self._part is _Part.BODY and not self.transport.is_closing():
            self._linger()
        else:
            self.transport.close()

    def _abandon(self) -> bool:
        """Take nothing more for answers that are not complete; return whether one had begun."""
        # uvicorn itself tells only the last one of pipelined requests
        left = [cycle for cycle in self._cycles if not cycle.response_complete]
        for cycle in left:
            cycle.disconnected = True
            cycle.message_event.set()
        return any(cycle.response_started for cycle in left)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer what is no request, and close."""
        if self.transport.is_closing() or self._phase is _Phase.CLOSING:
            return
        if self._abandon():
            # in the middle of another answer, nothing can be said
            self.transport.close()
            return
        kind = "invalid_request_error"
        payload = json.dumps(error_body(message, kind, status.value)).encode()
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(payload)}",
            "connection: close",
            "\r\n",
        )
        self.transport.write("\r\n".join(lines).encode() + payload)
        self._linger()

    def _refuse_head(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"The request's head is larger than {self.bounds.head_bytes} bytes, or has more than "
            f"{self.bounds.headers} headers.",
        )

    def _tell(self, size: int) -> None:
        self._told_bytes += size
        if self._head_is_too_large():
            raise _HeadTooLarge

    def _head_is_too_large(self) -> bool:
        return self._told_bytes > self.bounds.head_bytes or self._told_headers > self.bounds.headers

    def _follow(self) -> None:
        """Set the timer that belongs to what the connection is doing now."""
        phase = self._current()
        if phase is self._phase or self._phase in (_Phase.CLOSING, _Phase.GONE):
            return
        self._enter(phase)
        if phase is _Phase.REQUEST:
            self.waiting.pop(self, None)
        else:
            self.waiting[self] = None

    def _current(self) -> _Phase:
        if self.cycle is not None and not self.cycle.response_complete:
            return _Phase.REQUEST
        match self._part:
            case _Part.BODY:
                return _Phase.REST
            case _Part.HEAD:
                return _Phase.HEAD
        return _Phase.IDLE if self._heard else _Phase.NEW

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._overdue = False
        self._unset_timer()
        match phase:
            case _Phase.NEW | _Phase.HEAD:
                self._set_timer(self.bounds.header_seconds, self._late)
            case _Phase.REST | _Phase.CLOSING:
                self._set_timer(self.bounds.linger_seconds, self._late)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._unset_timer()
        self._timer = self.loop.call_later(seconds, call)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if not self._overdue:
            self._overdue = True
            self._set_timer(LOOK_SECONDS, self._late)
            return
        if self._phase is _Phase.HEAD:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The request's head was not complete {self.bounds.header_seconds:g} s after its "
                "first byte.",
            )
        if self._phase is _Phase.CLOSING:
            self.transport.abort()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._enter(_Phase.CLOSING)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _let_go(self) -> None:
        """The connection has ended, or is another protocol's from now on."""
        self.waiting.pop(self, None)
        self._enter(_Phase.GONE)
        self._unwatch_write()

    def _watch_write(self, before: int) -> None:
        self._unwatch_write()
        self._write_timer = self.loop.call_later(
            self.bounds.write_seconds, self._check_write, before
        )

    def _unwatch_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _check_write(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if before - left < self.bounds.write_seconds * WRITE_RATE:
            self.transport.abort()
        else:
            self._watch_write(left)


def protocol_class(bounds: Bounds | None = None) -> type[asyncio.Protocol]:
    """Return what ``uvicorn.Config`` takes as ``http``, in the place of ``auto``.

    Each call makes a class whose connections are counted together: call it once a process.

    Args:
        bounds: Others than usual.
    """

    class Protocol(_Bounded):
        pass

    Protocol.bounds = bounds or Bounds()
    Protocol.waiting = OrderedDict()
    return Protocol
