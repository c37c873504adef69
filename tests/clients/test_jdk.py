"""Java's default client, which offers an upgrade to HTTP/2 with the first request of each
connection."""

from __future__ import annotations

import json

from tests.support.echo_app import EVENTS, echo_server, received
from tests.support.jdk import JdkRequest, send_with_jdk

BODIES = [b"", b"x", b'{"model": "m"}', b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", b"y" * (3 << 20)]


def test_every_post_keeps_its_body() -> None:
    requests = [
        *(JdkRequest("/echo", body) for body in BODIES * 8),
        *(JdkRequest("/echo", body, "chunks") for body in BODIES),
        JdkRequest("/stream", b"{}", "lines"),
        JdkRequest("/echo", b"last"),
    ]
    with echo_server() as echo:
        *answers, stream, last = send_with_jdk(echo.url, requests)
        assert len(set(echo.connections)) == 1
    expected = [received(request.body) for request in requests[:-2]]
    assert [json.loads(answer.body) for answer in answers] == expected
    assert [line for line in stream.body.decode().split("\n") if line] == EVENTS
    assert json.loads(last.body) == received(b"last")
    assert {(answer.status, answer.version) for answer in (*answers, stream, last)} == {
        (200, "HTTP_1_1")
    }


def test_many_first_posts_keep_their_bodies() -> None:
    """Each on its own connection, with its own offer."""
    requests = [JdkRequest("/echo", b"%d" % number * 100, "parallel") for number in range(50)]
    with echo_server() as echo:
        answers = send_with_jdk(echo.url, requests)
        assert len(set(echo.connections)) > 10
    assert [json.loads(answer.body) for answer in answers] == [
        received(request.body) for request in requests
    ]


def test_a_post_that_waits_for_100_keeps_its_body() -> None:
    requests = [JdkRequest("/echo", body, "expect") for body in BODIES[1:] * 3]
    with echo_server() as echo:
        answers = send_with_jdk(echo.url, requests)
    assert [json.loads(answer.body) for answer in answers] == [
        received(request.body) for request in requests
    ]
