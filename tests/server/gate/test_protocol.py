"""The limits of connections, tested with raw sockets against a real server.

The application is a stand-in for the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from server.gate import protocol
from server.gate.body import BodyMemory, ClientLeft, read_body
from server.gate.bounds import Bounds
from server.gate.protocol import protocol_class
from server.gate.refusal import Refusal
from tests.support.connections import Client, Server, serving

SHORT = 0.3
"""Seconds, instead of the usual limit."""
ENDLESS = 3600.0
"""Seconds, for limits that a test must not reach."""


class App:
    """Answers by path. ``/held`` waits until :attr:`open` is set; ``/begun`` starts its answer
    before that."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen: list[Scope] = []
        self.left: list[str] = []
        self.statuses: list[int] = []
        """Of the bodies that were not read completely; 499 if the client left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope["path"], receive, send)
            return
        self.seen.append(scope)
        path = scope["path"]
        if path == "/echo":
            try:
                headers = MutableHeaders(scope=scope)
                body = await read_body(receive, headers, 1 << 20, BodyMemory(0))
            except ClientLeft:
                self.statuses.append(499)
            except Refusal as refusal:
                self.statuses.append(refusal.status)
                await respond(send, refusal.status, b"refused")
            else:
                await respond(send, 200, body.content)
        elif path in ("/held", "/begun"):
            await self._held(scope, receive, send)
        elif path == "/refused":
            await respond(send, 413, b"refused", (b"connection", b"close"))
        elif path == "/unread":
            await respond(send, 401, b"refused")
        elif path == "/large":
            await respond(send, 200, b"x" * (32 << 20))
        elif path == "/streamed":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for piece in (b"one", b"two", b""):
                await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})
        else:
            await respond(send, 200, b"hello")

    async def _held(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        waiting = asyncio.ensure_future(self.open.wait())

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.append(scope["query_string"].decode())
            waiting.cancel()

        listening = asyncio.ensure_future(listen())
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
            await respond(send, 200, b"held")
        listening.cancel()

    async def _websocket(self, path: str, receive: Receive, send: Send) -> None:
        await receive()
        if path == "/denied":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        message: Message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await receive()


async def respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def bounded(**bounds: Any) -> Generator[tuple[Server, App], None, None]:
    """Run a server that has only the limits that a test names."""
    far = {"header_seconds": ENDLESS, "linger_seconds": ENDLESS, "write_seconds": ENDLESS}
    app = App()
    how: dict[str, Any] = {"timeout_keep_alive": 3600}
    with serving(app, http=protocol_class(Bounds(**{**far, **bounds})), **how) as server:
        yield server, app


def get(path: str = "/", headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n".encode()


def post(path: str, body: bytes, length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {told}\r\n\r\n".encode() + body


CHUNKED = b"POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"


class TestHeadTime:
    def test_a_silent_connection_is_closed(self) -> None:
        with bounded(header_seconds=SHORT) as (server, _), Client(server) as client:
            assert client.closed()

    @pytest.mark.parametrize(
        "begin",
        [
            b"G",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nhost: test\r\nx: " + b"y" * 5000,
            b"GET / HTTP/1.1\r\nhost: test\r\nx: y\r\n",
        ],
    )
    def test_half_a_head_gets_a_408(self, begin: bytes) -> None:
        with bounded(header_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(begin)
            answer = client.rest()
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"connection: close" in answer
            assert b'"code":"request_timeout"' in answer
        assert app.seen == []

    @pytest.mark.parametrize("piece", [b"x", b"a: b\r\n"])
    def test_a_trickled_head_is_cut_off(self, piece: bytes) -> None:
        with bounded(header_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: test\r\n")
            assert client.trickle(piece).startswith(b"HTTP/1.1 408 ")

    def test_empty_lines_are_not_a_request(self) -> None:
        with bounded(header_seconds=SHORT) as (server, _), Client(server) as client:
            assert client.trickle(b"\r\n").startswith(b"HTTP/1.1 408 ")

    def test_the_next_head_on_a_connection_is_limited_too(self) -> None:
        with bounded(header_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(get())
            client.until(b"hello")
            client.send(b"GET / HT")
            assert client.rest().startswith(b"HTTP/1.1 408 ")

    def test_an_answer_may_take_longer_than_a_head(self) -> None:
        """1. A request runs for longer than a head may take. 2. It is answered, and the connection
        serves another."""
        with bounded(header_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(get("/held"))
            with Client(server) as other:
                assert other.closed()  # the time has passed
            server.ask(app.open.set)
            client.until(b"held")
            client.send(get())
            client.until(b"hello")

    def test_half_a_head_behind_a_running_request_may_wait(self) -> None:
        """1. A request runs and half of the next has arrived. 2. The time for a head passes. 3. The
        first is answered; the other half arrives, and the second is answered."""
        with bounded(header_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(get("/held") + b"GET / HTT")
            with Client(server) as other:
                assert other.closed()
            server.ask(app.open.set)
            client.until(b"held")
            client.send(b"P/1.1\r\nhost: test\r\n\r\n")
            client.until(b"hello")

    def test_half_a_head_behind_an_answered_request_is_limited(self) -> None:
        with bounded(header_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(get() + b"GET / HTT")
            client.until(b"hello")
            assert client.rest().startswith(b"HTTP/1.1 408 ")


class TestHeadSize:
    @pytest.mark.parametrize(
        "head",
        [
            get("/" + "a" * 5000),
            get(headers="x: " + "y" * 5000 + "\r\n"),
            get(headers="y" * 5000 + ": x\r\n"),
            get(headers="x: y\r\n" * 2000),
            # never complete: httptools alone would buffer it without limit
            b"GET /" + b"a" * 5000,
            b"GET / HTTP/1.1\r\nx: " + b"y" * 5000,
            b"GET / HTTP/1.1\r\n" + b"x" * 5000,
            b"\r\n" * 2500,
        ],
    )
    def test_a_head_that_is_too_large_gets_a_431(self, head: bytes) -> None:
        with bounded(head_bytes=4096, headers=10_000) as (server, app), Client(server) as client:
            client.send(head)
            answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"4096 bytes" in answer
        assert app.seen == []

    def test_a_flood_gets_an_answer_before_it_is_cut_off(self) -> None:
        """Megabytes of one header, in pieces: the answer arrives although the client sends more."""
        with bounded() as (server, _), Client(server) as client:
            client.send(b"GET / HTTP/1.1\r\nx: ")
            for _ in range(200):
                client.send(b"y" * 65536)
            assert client.rest().startswith(b"HTTP/1.1 431 ")

    def test_too_many_headers_get_a_431(self) -> None:
        with bounded(headers=100) as (server, _):
            with Client(server) as client:
                client.send(get(headers="x: y\r\n" * 99))
                client.until(b"hello")
            with Client(server) as client:
                client.send(get(headers="x: y\r\n" * 100))
                assert client.rest().startswith(b"HTTP/1.1 431 ")

    def test_each_request_on_a_connection_has_its_own_limit(self) -> None:
        with bounded(head_bytes=4096) as (server, _), Client(server) as client:
            for _ in range(5):
                client.send(get(headers="x: " + "y" * 3000 + "\r\n"))
                client.until(b"hello")
            client.send(b"".join([get(headers="x: " + "y" * 3000 + "\r\n")] * 3))
            for _ in range(3):
                client.until(b"hello")

    def test_bodies_do_not_count_toward_the_head(self) -> None:
        with bounded(head_bytes=4096) as (server, _), Client(server) as client:
            client.send(post("/echo", b"x" * 100_000 + b"end"))
            client.until(b"end")
            client.send(CHUNKED)
            for _ in range(1000):
                client.send(b"5\r\nhello\r\n")
            client.send(b"3\r\nend\r\n0\r\n\r\n")
            client.until(b"helloend")

    @pytest.mark.parametrize(
        "tail",
        [b"0\r\nx: ", b"5;", b"0\r\n"],
    )
    def test_the_framing_of_a_body_is_limited(self, tail: bytes) -> None:
        """A trailer or an extension that never ends does not reach the application."""
        with bounded(head_bytes=4096) as (server, app), Client(server) as client:
            client.send(CHUNKED + b"5\r\nhello\r\n")
            server.until(lambda: len(app.seen) == 1)
            client.send(tail)
            for _ in range(200):
                client.send(b"x" * 5000)
            assert client.rest().startswith(b"HTTP/1.1 431 ")
            server.until(lambda: app.statuses == [499])

    def test_a_trailer_does_not_become_a_header(self) -> None:
        with bounded() as (server, app), Client(server) as client:
            client.send(CHUNKED + b"5\r\nhello\r\n0\r\nauthorization: Bearer x\r\n\r\n")
            client.until(b"hello")
        (scope,) = app.seen
        assert b"authorization" not in dict(scope["headers"])


class TestGarbage:
    @pytest.mark.parametrize(
        "data", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    )
    def test_garbage_gets_a_400(self, data: bytes) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(data)
            answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'"code":"invalid_request_error"' in answer

    def test_garbage_behind_a_request_does_not_corrupt_its_answer(self) -> None:
        """1. An answer has started and its client sends garbage. 2. No error is written into it."""
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/begun"))
            client.until(b"begun")
            client.send(b"garbage\r\n\r\n")
            assert client.rest() == b"\r\n"  # the end of the chunk, but not of the answer
            server.until(lambda: app.left == [""])


class TestBody:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("server.gate.body.GRACE_SECONDS", SHORT)
        monkeypatch.setattr("server.gate.body.MIN_RATE", 1e6)

    def test_a_trickled_body_gets_a_408(self) -> None:
        with bounded(linger_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(post("/echo", b"", length=1000))
            assert client.trickle(b"x").startswith(b"HTTP/1.1 408 ")
            assert app.statuses == [408]

    def test_endless_small_chunks_get_a_408(self) -> None:
        with bounded(linger_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(CHUNKED)
            assert client.trickle(b"1\r\nx\r\n").startswith(b"HTTP/1.1 408 ")
            assert app.statuses == [408]

    def test_a_flood_of_chunks_gets_a_413(self) -> None:
        with bounded(linger_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(CHUNKED)
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            assert client.trickle(piece).startswith(b"HTTP/1.1 413 ")
            assert app.statuses == [413]

    def test_data_beyond_the_declared_length_is_another_request(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(post("/echo", b"hello, and more", length=5))
            assert client.rest().startswith(b"HTTP/1.1 400 ")

    def test_a_client_that_leaves_during_its_body_is_noticed(self) -> None:
        with bounded() as (server, app):
            with Client(server) as client:
                client.send(post("/echo", b"half", length=10))
                server.until(lambda: len(app.seen) == 1)
            server.until(lambda: app.statuses == [499])


class TestLinger:
    BODY = b"x" * (8 << 20)

    def answer(self, server: Server, path: str, tls: ssl.SSLContext | None = None) -> bytes:
        """Send all of a large body, and only then look for the answer, as most clients do."""
        with Client(server, tls) as client:
            client.send(post(path, self.BODY))
            return client.until(b"refused")

    def test_a_client_that_sends_a_refused_body_gets_the_refusal(self) -> None:
        with bounded() as (server, _):
            for _ in range(5):
                assert self.answer(server, "/refused").startswith(b"HTTP/1.1 413 ")

    def test_a_client_with_tls_gets_the_refusal(
        self, tls: tuple[dict[str, str], ssl.SSLContext]
    ) -> None:
        files, context = tls
        with serving(App(), http=protocol_class(), **files) as server:
            for _ in range(5):
                assert self.answer(server, "/refused", context).startswith(b"HTTP/1.1 413 ")

    @pytest.fixture
    def tls(self, tmp_path: Path) -> tuple[dict[str, str], ssl.SSLContext]:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
        made = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*request, *made], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}, context

    @pytest.mark.parametrize("path", ["/refused", "/unread"])
    def test_lingering_ends_after_its_time(self, path: str) -> None:
        with bounded(linger_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(post(path, b"", length=1 << 40))
            client.until(b"refused")
            client.trickle(b"x")

    def test_no_request_starts_behind_a_closing_answer(self) -> None:
        with bounded() as (server, app), Client(server) as client:
            client.send(post("/refused", b"", length=5))
            client.until(b"refused")
            client.send(b"hello" + get())
            assert client.rest() == b""
            assert len(app.seen) == 1

    @pytest.mark.parametrize("line", [b"GET /refused HTTP/1.1", b"GET / HTTP/1.0"])
    def test_no_request_starts_while_another_one_lingers(
        self, caplog: pytest.LogCaptureFixture, line: bytes
    ) -> None:
        """1. A request that closes the connection and half of another arrive together. 2. The
        first is answered; the second never starts."""
        with bounded() as (server, app), Client(server) as client:
            client.send(line + b"\r\nhost: test\r\n\r\n" + post("/echo", b"", length=5))
            client.rest()
            client.send(b"hello")
            server.until(lambda: not server.server_state.tasks)
        assert len(app.seen) == 1
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_an_unread_body_does_not_end_the_connection(self) -> None:
        with bounded(linger_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(post("/unread", b"half", length=8))
            client.until(b"refused")
            client.send(b"rest" + get())
            client.until(b"hello")
            with Client(server) as other:
                other.send(post("/refused", b"", length=8))
                other.rest()  # the time has passed
            client.send(get())
            client.until(b"hello")


class TestSlowReader:
    def test_a_client_that_receives_nothing_is_disconnected(self) -> None:
        with bounded(write_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(get("/large"))
            server.until(lambda: not server.server_state.connections)

    def test_a_slow_client_gets_the_complete_answer(self) -> None:
        """At least 1 KiB/s is required, checked every 50 ms."""
        with bounded(write_seconds=0.05) as (server, _), Client(server) as client:
            client.send(get("/large"))
            found = len(client.until(b"\r\n\r\n"))
            while piece := client.socket.recv(65536):
                found += len(piece)
                if found >= 32 << 20:
                    break
            assert found >= 32 << 20


class TestSeveralRequests:
    def test_one_connection_serves_many_requests(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            for _ in range(20):
                client.send(get())
                client.until(b"hello")
                client.send(post("/echo", b"body"))
                client.until(b"body")

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        with bounded(header_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(get() + post("/echo", b"body") + get("/held") + get() + get())
            client.until(b"hello")
            client.until(b"body")
            with Client(server) as other:
                assert other.closed()
            server.ask(app.open.set)
            client.until(b"held")
            client.until(b"hello")
            client.until(b"hello")

    def test_a_client_that_leaves_ends_its_pipelined_requests(self) -> None:
        """The first is disconnected; the second never starts."""
        with bounded() as (server, app):
            with Client(server) as client:
                client.send(get("/held?first") + get("/held?second"))
                server.until(lambda: len(app.seen) == 1)
            server.until(lambda: app.left == ["first"])
            server.until(lambda: not server.server_state.tasks)
            assert len(app.seen) == 1

    def test_garbage_behind_a_running_request_abandons_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The running request ends, and nothing is written after the refusal."""
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/held?first") + get("/held?second"))
            server.until(lambda: len(app.seen) == 1)
            client.send(b"\0\1\r\n\r\n")
            client.until(b"400 Bad Request")
            server.ask(app.open.set)
            server.until(lambda: not server.server_state.tasks)
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    @pytest.mark.parametrize("shut", [True, False])
    def test_a_client_that_leaves_is_noticed(self, shut: bool) -> None:
        """Whether it closes the connection or only its half of it."""
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/held?one"))
            server.until(lambda: len(app.seen) == 1)
            if shut:
                client.socket.shutdown(socket.SHUT_WR)
            else:
                client.socket.close()
            server.until(lambda: app.left == ["one"])

    def test_a_connection_that_is_half_closed_without_a_request_ends(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.socket.shutdown(socket.SHUT_WR)
            assert client.closed()


class TestShutdown:
    @pytest.mark.parametrize("sent", ["nothing", "half a head", "a request before"])
    def test_a_request_that_is_on_its_way_is_answered(
        self, monkeypatch: pytest.MonkeyPatch, sent: str
    ) -> None:
        """1. A client connects and may send something. 2. The server stops. 3. It sends more."""
        monkeypatch.setattr(protocol, "ASK_SECONDS", ENDLESS)
        request = get("/refused")  # answered and closed, like a stopping gate does
        with bounded() as (server, _), Client(server) as client:
            if sent == "half a head":
                client.send(request[:9])
            if sent == "a request before":
                client.send(get())
                client.until(b"hello")
            server.until(lambda: len(server.server_state.connections) == 1)
            server.should_exit = True
            server.until(lambda: not server.servers[0].is_serving())
            client.send(request[9:] if sent == "half a head" else request)
            assert client.rest().startswith(b"HTTP/1.1 413 ")

    def test_a_silent_client_does_not_delay_the_stop(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            server.until(lambda: len(server.server_state.connections) == 1)
            server.should_exit = True
            assert client.closed()


class TestUpgrade:
    HANDSHAKE = (
        "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )

    def test_a_websocket_has_no_time_limit(self) -> None:
        with bounded(header_seconds=SHORT, connections=1) as (server, _), Client(server) as client:
            client.send(get("/ws", self.HANDSHAKE))
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            with Client(server) as other:
                assert other.closed()
            client.send(b"\x81\x85\x00\x00\x00\x00hello")
            assert client.until(b"hello") == b"\x81\x05hello"

    H2C = "upgrade: h2c\r\nconnection: Upgrade\r\n"

    def test_another_upgrade_is_an_ordinary_request(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(get("/", self.H2C))
            client.until(b"hello")

    def test_the_application_does_not_see_an_ignored_offer(self) -> None:
        fields = "connection: keep-alive, Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nx: y\r\n"
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/", f"{fields}http2-settings: AAMAAABk\r\n"))
            client.until(b"hello")
        (scope,) = app.seen
        assert scope["headers"] == [
            (b"host", b"test"),
            (b"connection", b"keep-alive"),
            (b"x", b"y"),
        ]

    def test_the_head_of_an_ignored_upgrade_counts_once(self) -> None:
        with bounded(head_bytes=4096, headers=5) as (server, _):
            for size, answer in ((3900, b"HTTP/1.1 200 "), (4100, b"HTTP/1.1 431 ")):
                with Client(server) as client:
                    client.send(get("/", self.H2C + f"x: {'y' * size}\r\n"))
                    assert client.until(b"\r\n").startswith(answer)

    def test_half_the_head_of_an_upgrade_gets_a_408(self) -> None:
        with bounded(header_seconds=SHORT) as (server, _), Client(server) as client:
            client.send(get("/", self.H2C)[:-1])
            assert client.rest().startswith(b"HTTP/1.1 408 ")

    def test_an_ignored_upgrade_ends_the_time_for_its_head(self) -> None:
        with bounded(header_seconds=SHORT) as (server, app), Client(server) as client:
            client.send(get("/held", self.H2C))
            with Client(server) as other:
                assert other.closed()  # the time has passed
            server.ask(app.open.set)
            client.until(b"held")

    def test_thousands_of_offers_in_one_packet_are_answered(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(get("/", self.H2C) * 2000 + get("/refused"))
            assert client.rest().count(b"hello") == 2000

    def test_a_websocket_behind_a_running_request_is_an_ordinary_request(self) -> None:
        """Otherwise the answer arrives in the middle of the WebSocket."""
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/held") + get("/ws", self.HANDSHAKE) + get())
            server.until(lambda: len(app.seen) == 1)
            server.ask(app.open.set)
            for answer in (b"held", b"hello", b"hello"):
                assert client.until(answer).startswith(b"HTTP/1.1 200 ")

    def test_a_websocket_after_an_answer_is_accepted(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(get())
            client.until(b"hello")
            client.send(get("/ws", self.HANDSHAKE))
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")

    @pytest.mark.parametrize("more", [b"\x81\x85\x00\x00\x00\x00hello", get()])
    def test_data_behind_a_handshake_is_refused(self, more: bytes) -> None:
        """A client must wait for the 101."""
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/ws", self.HANDSHAKE) + more)
            assert client.rest().startswith(b"HTTP/1.1 400 ")
        assert app.seen == []

    def test_data_behind_a_denied_websocket_is_not_a_request(self) -> None:
        with bounded() as (server, app), Client(server) as client:
            client.send(get("/denied", self.HANDSHAKE))
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")
            with contextlib.suppress(ConnectionError):
                client.send(get())
                client.rest()
        assert app.seen == []


class TestExpect:
    HEAD = "POST {} HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"

    def test_a_body_is_asked_for(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            for _ in range(2):  # the connection stays open
                client.send(self.HEAD.format("/echo").encode())
                assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                client.send(b"body")
                assert client.until(b"body").startswith(b"HTTP/1.1 200 ")

    def test_an_answer_before_the_body_closes_the_connection(self) -> None:
        """The client may send the body or its next request: the server cannot know."""
        with bounded() as (server, app), Client(server) as client:
            client.send(self.HEAD.format("/unread").encode())
            answer = client.rest()
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" in answer
            client.send(get())
        assert len(app.seen) == 1

    def test_a_client_of_http_1_0_gets_no_100(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(self.HEAD.format("/echo").replace("1.1", "1.0").encode() + b"body")
            assert client.rest().startswith(b"HTTP/1.1 200 ")

    def test_a_refused_body_is_not_asked_for(self, caplog: pytest.LogCaptureFixture) -> None:
        """The head and a wrong chunk arrive together, before the application asks."""
        with bounded() as (server, _), Client(server) as client:
            fields = b"host: test\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
            client.send(b"POST /echo HTTP/1.1\r\n" + fields + b"x\r\n")
            assert client.rest().startswith(b"HTTP/1.1 400 ")
            server.until(lambda: not server.server_state.tasks)
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


class TestOldClients:
    def test_a_stream_has_no_chunks(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(b"GET /streamed HTTP/1.0\r\n\r\n")
            head, _, body = client.rest().partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert body == b"onetwo"

    def test_an_answer_with_a_length_is_unchanged(self) -> None:
        with bounded() as (server, _), Client(server) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.rest().endswith(b"content-length: 5\r\nconnection: close\r\n\r\nhello")


class TestMany:
    def test_idle_connections_give_way_to_new_ones(self) -> None:
        """1. A request runs. 2. A thousand connections stay silent, and 100 are the limit. 3. A new
        client is served, and the first one gets its answer."""
        with bounded(connections=100) as (server, app), contextlib.ExitStack() as crowd:
            first = crowd.enter_context(Client(server))
            first.send(get("/held"))
            server.until(lambda: len(app.seen) == 1)
            idle = [crowd.enter_context(Client(server)) for _ in range(1000)]
            for client in idle[:800]:
                assert client.closed()
            server.until(lambda: len(server.server_state.connections) <= 100)
            with Client(server) as client:
                client.send(get())
                client.until(b"hello")
            server.ask(app.open.set)
            first.until(b"held")

    def test_the_longest_idle_connection_is_closed_first(self) -> None:
        with bounded(connections=2) as (server, _), contextlib.ExitStack() as crowd:
            one, two = (crowd.enter_context(Client(server)) for _ in range(2))
            for client in (one, two, one):
                client.send(get())
                client.until(b"hello")
            three = crowd.enter_context(Client(server))
            assert two.closed()
            for client in (three, one):
                client.send(get())
                client.until(b"hello")

    @pytest.mark.parametrize(
        "send",
        [lambda c: None, lambda c: c.send(b"GET /"), lambda c: c.send(get())],
    )
    def test_closed_connections_leave_no_state(self, send: Callable[[Client], None]) -> None:
        with bounded() as (server, _):
            for _ in range(50):
                with Client(server) as client:
                    send(client)
            server.until(lambda: not server.server_state.connections)
            waiting = server.config.http_protocol_class.waiting  # type: ignore[attr-defined]
            server.until(lambda: not waiting)

    @pytest.mark.parametrize(
        "data",
        [
            b"GET /",
            get(),
            get("/refused"),
            post("/echo", b"half", length=8),
            get("/", TestUpgrade.H2C),
            CHUNKED + b"x\r\n",
        ],
    )
    def test_closed_connections_are_freed_without_a_collection(self, data: bytes) -> None:
        """Else they fill the memory until Python collects garbage."""
        gc.collect()
        gc.disable()
        try:
            with bounded() as (server, app):
                with Client(server) as client:
                    server.until(lambda: len(server.server_state.connections) == 1)
                    connection = server.ask(
                        lambda: weakref.ref(next(iter(server.server_state.connections)))
                    )
                    client.send(data)
                    if data != b"GET /":
                        server.until(lambda: app.seen != [])
                server.until(lambda: connection() is None)
        finally:
            gc.enable()
