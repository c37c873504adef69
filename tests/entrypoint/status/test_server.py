"""What clients get while the model loads and during the hand-over."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from entrypoint.planning.listen import Listen
from entrypoint.shared.cors import Cors
from entrypoint.shared.keys import Keys
from entrypoint.status.listener import open_listener
from entrypoint.status.server import UNGUARDED, Guard, StatusServer, unavailable
from tests.support.framing import CASES, MARKER
from tests.support.ports import free_port

STATUS = {
    "phase": "weights",
    "seconds": 12.0,
    "seconds_in_phase": 3.0,
    "remaining_seconds": None,
    "phases": {"resolve": 9.0, "weights": 3.0},
    "bytes": {"done": 10, "total": 10, "per_second": None},
}


@contextmanager
def serving(port: int, guard: Guard = UNGUARDED) -> Iterator[tuple[socket.socket, StatusServer]]:
    """Run a status server in a thread; yield its listening socket and the server."""
    listen = Listen("127.0.0.1", port)
    listener = open_listener(listen)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> StatusServer:
        server = StatusServer(listener, listen, lambda: STATUS, guard)
        server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(make(), loop).result(10)
    try:
        yield listener, server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        listener.close()


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    key: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request(method, path, body, authorization | (headers or {}))
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def received(client: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            found += piece
    return found


class TestAnswers:
    @pytest.mark.parametrize("path", ["/health/live", "/v1/health/live", "/health/live/"])
    def test_liveness_is_200(self, path: str) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "GET", path)
        assert response.status == 200
        assert json.loads(body) == {"status": "alive"}

    def test_the_status_is_shown_as_json(self) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "GET", "/v1/status")
            slashed, _ = ask(port, "GET", "/v1/status/")
        assert response.status == slashed.status == 200
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
    def test_every_other_path_is_503_with_the_phase(self, method: str, path: str) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, method, path, b"{}" if method == "POST" else None)
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["connection"] == "close"
        error = json.loads(body)["error"]
        assert error["phase"] == "weights"
        assert "weights" in error["message"]

    def test_a_request_with_a_large_body_gets_its_answer(self) -> None:
        port = free_port()
        with serving(port):
            response, _ = ask(port, "POST", "/v1/chat/completions", b"x" * 900_000)
        assert response.status == 503

    def test_a_head_request_gets_no_body(self) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "HEAD", "/health/live")
        assert (response.status, body) == (200, b"")

    @pytest.mark.parametrize("path", ["/health/live", "/v1/status", "/metrics", "/v1/metrics"])
    def test_methods_other_than_get_are_405(self, path: str) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "DELETE", path)
        assert response.status == 405
        assert response.headers["allow"] == "GET, HEAD"
        assert "DELETE" in json.loads(body)["error"]["message"]

    def test_the_metrics_are_in_prometheus_format(self) -> None:
        port = free_port()
        with serving(port):
            response, body = ask(port, "GET", "/metrics")
            assert body == ask(port, "GET", "/v1/metrics")[1]
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b'inference_server_phase{phase="weights"} 1\n' in body


class TestGuard:
    GUARDED = ("/v1/status", "/metrics", "/v1/metrics")

    def test_the_status_requires_a_key(self) -> None:
        port = free_port()
        with serving(port, Guard(Keys(["right"]))):
            for path in self.GUARDED:
                for key in (None, "wrong"):
                    response, body = ask(port, "GET", path, key=key)
                    assert response.status == 401
                    assert response.headers["www-authenticate"] == "Bearer"
                    assert b"phase" not in body
                assert ask(port, "GET", path, key="right")[0].status == 200

    def test_probes_and_503s_require_no_key(self) -> None:
        port = free_port()
        with serving(port, Guard(Keys(["right"]))):
            assert ask(port, "GET", "/health/live")[0].status == 200
            assert ask(port, "GET", "/health/ready")[0].status == 503
            assert ask(port, "GET", "/v1/models")[0].status == 503

    def test_public_metrics_require_no_key(self) -> None:
        port = free_port()
        with serving(port, Guard(Keys(["right"]), metrics_public=True)):
            assert ask(port, "GET", "/metrics")[0].status == 200
            assert ask(port, "GET", "/v1/metrics")[0].status == 200
            assert ask(port, "GET", "/v1/status")[0].status == 401

    def test_a_key_added_to_the_file_is_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("old\n")
        port = free_port()
        with serving(port, Guard(Keys((), tmp_path / "keys"))):
            assert ask(port, "GET", "/v1/status", key="newer")[0].status == 401
            (tmp_path / "keys").write_text("old\nnewer\n")
            assert ask(port, "GET", "/v1/status", key="newer")[0].status == 200

    def test_anthropics_header_holds_a_key_too(self) -> None:
        port = free_port()
        with serving(port, Guard(Keys(["right"]))):
            assert ask(port, "GET", "/v1/status", headers={"X-Api-Key": "right"})[0].status == 200
            assert ask(port, "GET", "/v1/status", headers={"X-Api-Key": "wrong"})[0].status == 401


class TestPages:
    """What a browser lets a page of another origin read."""

    ORIGIN = "https://a.example"
    GUARD = Guard(Keys(["right"]), cors=Cors((ORIGIN,)))

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/health/live", 200),
            ("POST", "/v1/completions", 503),
            ("GET", "/v1/status", 401),
            ("DELETE", "/metrics", 405),
        ],
    )
    def test_every_answer_names_an_allowed_origin(
        self, method: str, path: str, status: int
    ) -> None:
        port = free_port()
        with serving(port, self.GUARD):
            response, _ = ask(port, method, path, headers={"Origin": self.ORIGIN})
            other, _ = ask(port, method, path, headers={"Origin": "https://b.example"})
        assert response.status == other.status == status
        assert response.headers["access-control-allow-origin"] == self.ORIGIN
        assert "Retry-After" in response.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in other.headers
        assert response.headers["vary"] == other.headers["vary"] == "Origin"

    def test_a_preflight_needs_no_key(self) -> None:
        port = free_port()
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        with serving(port, self.GUARD):
            for path in ("/v1/status", "/v1/chat/completions", "/nope"):
                response, _ = ask(port, "OPTIONS", path, headers={"Origin": self.ORIGIN, **asked})
                assert response.status == 200
                assert response.headers["access-control-allow-origin"] == self.ORIGIN
                assert response.headers["access-control-allow-headers"] == "authorization"
            response, body = ask(
                port, "OPTIONS", "/nope", headers={"Origin": "https://b.example", **asked}
            )
            assert response.status == 400
            assert "--allowed-origins" in json.loads(body)["error"]["message"]
            assert ask(port, "OPTIONS", "/nope", headers={"Origin": self.ORIGIN})[0].status == 503


class TestHostileClients:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("entrypoint.status.server.REQUEST_SECONDS", 0.2)

    @pytest.mark.parametrize("begun", [b"", b"GET /health/live HTT", b"GET / HTTP/1.1\r\nX: y"])
    def test_a_client_that_sends_no_request_is_disconnected(self, begun: bytes) -> None:
        """Other clients get their answers meanwhile."""
        port = free_port()
        with serving(port), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(begun)
            assert ask(port, "GET", "/health/live")[0].status == 200
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(64) == b""

    def test_a_client_that_sends_no_body_gets_503(self) -> None:
        port = free_port()
        with serving(port), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"POST /v1/models HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 503")

    @pytest.mark.parametrize("cut", [None, b"\r\n\r\n"], ids=["at once", "body later"])
    def test_a_connection_carries_one_request(
        self, cut: bytes | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However its end is written, nothing behind it is read as another request."""
        port = free_port()
        answers = {}
        with serving(port):
            for case in CASES:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                    payload = case.data + MARKER
                    first = payload.index(cut) + len(cut) if cut else len(payload)
                    client.sendall(payload[:first])
                    time.sleep(0.002 if cut else 0)
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        client.sendall(payload[first:])
                    answers[case.name] = received(client)
        statuses = {
            name: [s for s in re.findall(rb"HTTP/1\.1 (\d+) ", answer) if s != b"100"]
            for name, answer in answers.items()
        }
        assert {name: found for name, found in statuses.items() if len(found) != 1} == {}
        assert {found[0] for found in statuses.values()} == {b"503", b"400"}
        assert {record.getMessage() for record in caplog.records if record.levelno > 20} == {
            "Invalid HTTP request received."
        }

    def test_an_endless_body_is_cut_off(self) -> None:
        """The server answers once it has read enough, and closes the connection."""
        port = free_port()
        with serving(port), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while True:  # until it is closed
                    client.sendall(b"x" * 65536)
            assert ask(port, "GET", "/health/live")[0].status == 200

    @pytest.mark.parametrize(
        "said",
        [
            b"\x16\x03\x01\x02\x00\x01\xff\xff\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
            b"A" * 100_000,
        ],
    )
    def test_garbage_does_not_stop_the_server(self, said: bytes) -> None:
        port = free_port()
        with serving(port), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            with contextlib.suppress(OSError):
                client.sendall(said)
                client.recv(64)
            assert ask(port, "GET", "/health/live")[0].status == 200

    def test_a_stop_waits_for_no_idle_client(self) -> None:
        """1. A client sends part of a body and stays. 2. The server stops without lingering."""
        port = free_port()
        with (
            serving(port) as (_, server),
            socket.create_connection(("127.0.0.1", port), timeout=10) as client,
        ):
            client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
            assert ask(port, "GET", "/health/live")[0].status == 200
            assert server._task is not None
            loop = server._task.get_loop()
            asyncio.run_coroutine_threadsafe(server.stop(linger=0), loop).result(10)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(64) == b""


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("remaining", "seconds"), [(None, 5), (0.2, 1), (7.5, 8), (4000.0, 30)]
    )
    def test_it_is_the_estimate_within_limits(self, remaining: float | None, seconds: int) -> None:
        answer = unavailable({**STATUS, "remaining_seconds": remaining})
        assert answer.headers["retry-after"] == str(seconds)

    def test_the_message_states_the_estimate(self) -> None:
        answer = unavailable({**STATUS, "remaining_seconds": 7.5})
        assert "about 8 s left" in json.loads(answer.body)["error"]["message"]

    @pytest.mark.parametrize("phase", ["ready", "stopping"])
    def test_after_ready_the_server_is_stopping(self, phase: str) -> None:
        answer = unavailable({**STATUS, "phase": phase})
        assert answer.headers["retry-after"] == "5"
        assert json.loads(answer.body)["error"]["message"].startswith("The server is stopping.")


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
        """1. A client connects. 2. The server is stopped. 3. The client sends a request: 503."""
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
