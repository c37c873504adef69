"""The health check of a running server, as an image's HEALTHCHECK makes it."""

import ssl
import subprocess
from pathlib import Path

import pytest

from entrypoint.planning.listen import Listen
from entrypoint.status.health import ask_health
from entrypoint.status.listener import open_listener
from tests.support.health_server import answering
from tests.support.ports import free_port


@pytest.mark.parametrize(("code", "healthy"), [(200, True), (503, False)])
def test_a_server_is_healthy_if_it_answers_200(code: int, healthy: bool) -> None:
    listen = Listen("127.0.0.1", free_port())
    with answering(listen, code):
        found, line = ask_health(listen)
    assert found is healthy
    assert str(code) in line


def test_a_refused_connection_is_not_healthy() -> None:
    listen = Listen("127.0.0.1", free_port())
    healthy, line = ask_health(listen)
    assert not healthy
    assert str(listen.port) in line
    assert "refused" in line


def test_a_server_that_never_answers_is_not_healthy() -> None:
    listen = Listen("127.0.0.1", free_port())
    with open_listener(listen):
        healthy, line = ask_health(listen, timeout=0.2)
    assert not healthy
    assert "timed out" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "localhost"])
def test_an_address_for_all_interfaces_is_asked_on_loopback(host: str) -> None:
    listen = Listen(host, free_port())
    with answering(listen):
        assert ask_health(listen)[0]


def test_a_server_on_a_unix_socket_is_asked(tmp_path: Path) -> None:
    listen = Listen("0.0.0.0", 1, uds=str(tmp_path / "s"))
    with answering(listen):
        healthy, line = ask_health(listen)
    assert healthy
    assert str(tmp_path / "s") in line


def test_a_certificate_for_another_name_is_accepted(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listen = Listen("127.0.0.1", free_port(), None, str(certificate), str(key))
    with answering(listen, wrap=lambda plain: context.wrap_socket(plain, server_side=True)):
        assert ask_health(listen)[0]
