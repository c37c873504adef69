"""A real uvicorn server on loopback, and clients that speak to it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

PATIENCE = 20.0
"""Seconds that a test waits before it fails."""


class Server(uvicorn.Server):
    """A server in a thread, which a test can call into."""

    loop: asyncio.AbstractEventLoop
    port: int

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the main thread."""
        yield

    def ask(self, question: Callable[[], Any]) -> Any:
        """Call a function in the server's thread; return its result."""

        async def call() -> Any:
            return question()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true in the server's thread."""

        async def wait() -> None:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(0.005)

        asyncio.run_coroutine_threadsafe(wait(), self.loop).result(2 * PATIENCE)


@contextlib.contextmanager
def serving(app: ASGIApp, **how: Any) -> Generator[Server, None, None]:
    """Run an application under uvicorn, on the event loop that vLLM uses.

    Args:
        app: The application.
        how: Further settings of uvicorn's.
    """
    config = uvicorn.Config(app, **{"log_config": None, "lifespan": "off", **how})
    server = Server(config)
    server.loop = uvloop.new_event_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        server.port = listener.getsockname()[1]
        task = server.serve(sockets=[listener])
        thread = threading.Thread(target=server.loop.run_until_complete, args=[task])
        thread.start()
        try:
            server.loop.call_soon_threadsafe(lambda: None)
            yield server
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
            server.loop.close()


class Client:
    """A connection."""

    def __init__(self, server: Server, tls: ssl.SSLContext | None = None):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all the data."""
        self.socket.sendall(data)

    def rest(self) -> bytes:
        """Return everything that comes until the server closes."""
        found = b""
        while piece := self.socket.recv(65536):
            found += piece
        return found

    def until(self, end: bytes) -> bytes:
        """Return what comes, up to and including ``end``."""
        found = b""
        while not found.endswith(end):
            piece = self.socket.recv(1)
            assert piece, found
            found += piece
        return found

    def closed(self) -> bool:
        """Return whether the server closes the connection without an answer."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def trickle(self, piece: bytes) -> bytes:
        """Send the same piece again and again until the server closes; return its answer."""
        self.socket.settimeout(0.01)
        found = b""
        for _ in range(int(PATIENCE / 0.01)):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.socket.send(piece)
            try:
                said = self.socket.recv(65536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                return found
            if not said:
                return found
            found += said
        raise AssertionError("the server let it trickle")
