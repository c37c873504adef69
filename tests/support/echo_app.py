"""An application that reports what it received, and one that streams."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from server.gate.protocol import protocol_class
from tests.support.connections import serving

EVENTS = [f"data: {number}" for number in range(20)]
"""The lines of the stream that are not empty."""


def received(body: bytes) -> dict[str, object]:
    """Return what the application reports of a body."""
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


class EchoServer:
    """A server with the gate's protocol.

    Attributes:
        url: Its URL.
        hosts: The hosts that the requests named.
        connections: The client's port of each request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.hosts: list[str] = []
        self.connections: list[int] = []
        self.app = Starlette(
            routes=[
                Route("/echo", self._echo, methods=["GET", "POST", "PUT", "DELETE"]),
                Route("/stream", self._stream, methods=["POST"]),
            ]
        )

    def _note(self, request: Request) -> None:
        assert request.client is not None
        assert "upgrade" not in request.headers
        self.hosts.append(request.headers["host"])
        self.connections.append(request.client.port)

    async def _echo(self, request: Request) -> Response:
        self._note(request)
        return JSONResponse(received(await request.body()))

    async def _stream(self, request: Request) -> Response:
        self._note(request)
        await request.body()
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        for event in EVENTS:
            yield f"{event}\n\n"


@contextmanager
def echo_server() -> Iterator[EchoServer]:
    """Run it on loopback."""
    echo = EchoServer()
    with serving(echo.app, http=protocol_class()) as server:
        echo.url = f"http://127.0.0.1:{server.port}"
        yield echo
