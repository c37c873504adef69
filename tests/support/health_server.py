"""A server that answers only ``/health``."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from entrypoint.planning.listen import Listen
from entrypoint.status.listener import open_listener


class _Handler(BaseHTTPRequestHandler):
    code = 200

    def do_GET(self) -> None:
        self.send_response(self.code if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def answering(
    listen: Listen,
    code: int = 200,
    wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain,
) -> Iterator[None]:
    """Run a server that answers ``/health`` with a status code."""
    server = HTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"code": code}), bind_and_activate=False
    )
    server.socket.close()
    server.socket = wrap(open_listener(listen))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
