"""What clients see while the model loads, and that the hand-over loses none of them."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from entrypoint.listener import Listen, open_listener
from entrypoint.status_server import StatusServer, loading_error
from tests.entrypoint.test_listener import free_port

STATUS = {
    "phase": "weights",
    "seconds": 12.0,
    "seconds_in_phase": 3.0,
    "remaining_seconds": None,
}


@contextmanager
def serving(port: int) -> Iterator[tuple[socket.socket, StatusServer]]:
    """A status server in a thread of its own, and the socket that it would hand over."""
    listen = Listen("127.0.0.1", port)
    listener = open_listener(listen)
    handed_over = listener.dup()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> StatusServer:
        server = StatusServer(listener, listen, lambda: STATUS)
        server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(make(), loop).result(10)
    try:
        yield handed_over, server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        handed_over.close()


def ask(
    port: int, method: str, path: str, body: bytes | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


class TestAnswers:
    @pytest.mark.parametrize("path", ["/health/live", "/v1/health/live"])
    def test_alive(self, path: str) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "GET", path)
        assert response.status == 200
        assert json.loads(body) == {"status": "alive"}

    def test_status(self) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "GET", "/v1/status")
        assert response.status == 200
        assert json.loads(body) == STATUS

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/health"),
            ("GET", "/health/ready"),
            ("GET", "/v1/health/ready"),
            ("GET", "/v1/models"),
            ("POST", "/v1/chat/completions"),
            ("GET", "/anything"),
        ],
    )
    def test_the_rest_is_503_with_the_phase(self, method: str, path: str) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, method, path, b"{}" if method == "POST" else None)
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["connection"] == "close"
        error = json.loads(body)["error"]
        assert error["phase"] == "weights"
        assert "weights" in error["message"]

    def test_a_large_body_gets_its_answer_too(self) -> None:
        port = free_port()
        with serving(port):
            response, _ = ask(port, "POST", "/v1/chat/completions", b"x" * 900_000)
        assert response.status == 503

    def test_head_has_no_body(self) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "HEAD", "/health/live")
        assert (response.status, body) == (200, b"")


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("remaining", "seconds"), [(None, 5), (0.2, 1), (7.5, 8), (4000.0, 30)]
    )
    def test_seconds(self, remaining: float | None, seconds: int) -> None:
        assert loading_error({**STATUS, "remaining_seconds": remaining})[0] == seconds

    def test_the_estimate_is_told(self) -> None:
        _, body = loading_error({**STATUS, "remaining_seconds": 7.5})
        assert "about 8 s left" in body["error"]["message"]


class TestHandOver:
    def stop(self, server: StatusServer, task_of: Any) -> None:
        asyncio.run_coroutine_threadsafe(server.stop(), task_of).result(10)

    def test_connections_after_the_stop_wait_for_the_engine(self) -> None:
        """1. Stop. 2. A client connects: it is queued. 3. The new owner accepts it."""
        port = free_port()
        with serving(port) as (handed_over, server):
            loop = server._task.get_loop() if server._task else None
            assert loop is not None
            self.stop(server, loop)
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                handed_over.settimeout(5)
                accepted, _ = handed_over.accept()
                with accepted:
                    accepted.sendall(b"from the engine")
                    assert client.recv(64) == b"from the engine"

    def test_a_connection_from_before_the_stop_is_answered(self) -> None:
        """1. A client connects and says nothing. 2. Stop. 3. It asks: it gets its 503."""
        port = free_port()
        with serving(port) as (_, server):
            loop = server._task.get_loop() if server._task else None
            assert loop is not None
            ask(port, "GET", "/health/live")
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                ask(port, "GET", "/health/live")  # the first connection has been accepted by now
                stopping = asyncio.run_coroutine_threadsafe(server.stop(), loop)
                client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
                assert client.recv(64).startswith(b"HTTP/1.1 503")
            stopping.result(10)
