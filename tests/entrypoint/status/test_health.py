"""The question that an image's HEALTHCHECK asks."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from entrypoint.cli import main
from entrypoint.planning.listen import Listen
from entrypoint.status.health import ask_health
from entrypoint.status.listener import open_listener
from tests.support.ports import free_port


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
    """A server that answers ``/health`` with a code."""
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


@pytest.mark.parametrize(("code", "healthy"), [(200, True), (503, False)])
def test_what_the_server_answers(code: int, healthy: bool) -> None:
    listen = Listen("127.0.0.1", free_port())
    with answering(listen, code):
        found, line = ask_health(listen)
    assert found is healthy
    assert str(code) in line


def test_nobody_answers() -> None:
    listen = Listen("127.0.0.1", free_port())
    healthy, line = ask_health(listen)
    assert not healthy
    assert str(listen.port) in line
    assert "refused" in line


def test_a_server_that_accepts_and_says_nothing() -> None:
    listen = Listen("127.0.0.1", free_port())
    with open_listener(listen):
        healthy, line = ask_health(listen, timeout=0.2)
    assert not healthy
    assert "timed out" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "localhost"])
def test_every_address(host: str) -> None:
    listen = Listen(host, free_port())
    with answering(listen):
        assert ask_health(listen)[0]


def test_a_unix_socket(tmp_path: Path) -> None:
    listen = Listen("0.0.0.0", 1, uds=str(tmp_path / "s"))
    with answering(listen):
        healthy, line = ask_health(listen)
    assert healthy
    assert str(tmp_path / "s") in line


def test_tls_with_a_certificate_for_another_name(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listen = Listen("127.0.0.1", free_port(), None, str(certificate), str(key))
    with answering(listen, wrap=lambda plain: context.wrap_socket(plain, server_side=True)):
        assert ask_health(listen)[0]


class TestCommand:
    def test_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        port = free_port()
        with answering(Listen("127.0.0.1", port)):
            assert main(["health"], {"PORT": str(port)}) == 0
        assert "answers 200" in capsys.readouterr().out

    def test_the_port_of_arg_wins(self) -> None:
        port = free_port()
        with answering(Listen("127.0.0.1", port)):
            environ = {"PORT": str(free_port()), "ARG": f"--port {port}"}
            assert main(["health"], environ) == 0

    def test_not_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["health"], {"PORT": str(free_port())}) == 1
        assert "did not answer" in capsys.readouterr().out
