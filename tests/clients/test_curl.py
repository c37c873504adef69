"""curl with its options of the connection: HTTP/2, HTTP/1.0, a proxy, large and endless bodies."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.deploy_tools import tool
from tests.support.echo_app import EVENTS, EchoServer, echo_server, received

SECONDS = 60
BODIES = [b"x", b'{"model": "m"}', b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", b"y" * (3 << 20)]


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with echo_server() as running:
        yield running


def curl(*arguments: str, body: bytes = b"") -> bytes:
    """Return curl's output."""
    command = [tool("curl"), "--silent", "--show-error", "--noproxy", "*", *arguments]
    ran = subprocess.run(command, input=body, capture_output=True, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def documents(output: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.replace(b"}{", b"}\n{").splitlines()]


@pytest.mark.parametrize("body", BODIES, ids=len)
@pytest.mark.parametrize("version", ["--http2", "--http1.1", "--http1.0"])
def test_every_post_keeps_its_body(echo: EchoServer, version: str, body: bytes) -> None:
    """Beyond 1 MiB, curl waits for 100 Continue."""
    output = curl(version, "--data-binary", "@-", *[f"{echo.url}/echo"] * 10, body=body)
    assert documents(output) == [received(body)] * 10
    if version != "--http1.0":
        assert len(set(echo.connections)) == 1


@pytest.mark.parametrize("body", BODIES, ids=len)
def test_a_body_of_unknown_length_arrives(echo: EchoServer, body: bytes) -> None:
    output = curl("--http2", "--upload-file", "-", f"{echo.url}/echo", body=body)
    assert documents(output) == [received(body)]


def test_first_posts_in_parallel_keep_their_bodies(echo: EchoServer) -> None:
    options = ("--http2", "--parallel", "--parallel-immediate", "--data-binary", "hello")
    output = curl(*options, *[f"{echo.url}/echo"] * 30)
    assert documents(output) == [received(b"hello")] * 30
    assert len(set(echo.connections)) > 10


@pytest.mark.parametrize("version", ["--http2", "--http1.1", "--http1.0"])
def test_a_stream_arrives_without_its_framing(echo: EchoServer, version: str) -> None:
    raw = ("--raw",) if version == "--http1.0" else ()  # then nothing removes chunks
    output = curl(version, *raw, "--no-buffer", "--data", "{}", f"{echo.url}/stream")
    assert [line for line in output.decode().split("\n") if line] == EVENTS


def test_a_target_with_another_host_is_served(echo: EchoServer) -> None:
    """As a client sends it whose proxy setting names the server."""
    command = [tool("curl"), "--silent", "--proxy", echo.url, "--data", "hello"]
    target = "http://other.example:81/echo"
    ran = subprocess.run([*command, target], capture_output=True, timeout=SECONDS, check=True)
    assert json.loads(ran.stdout) == received(b"hello")
    assert echo.hosts == ["other.example:81"]


def test_http_2_without_an_upgrade_gets_an_error(echo: EchoServer) -> None:
    command = [tool("curl"), "--silent", "--http2-prior-knowledge", "--noproxy", "*"]
    ran = subprocess.run(
        [*command, "--data", "hello", f"{echo.url}/echo"], capture_output=True, timeout=SECONDS
    )
    assert ran.returncode != 0
    assert echo.connections == []
