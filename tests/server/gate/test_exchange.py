"""What an exchange adds to an answer, and how it ends one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from server.gate.exchange import DONE, Exchange
from tests.support.event_loop import in_event_loop

EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Sent(list[Message]):
    """The messages that reach the server."""

    async def send(self, message: Message) -> None:
        self.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self)


async def receive() -> Message:
    return {"type": "http.disconnect"}


def an_exchange(sent: Sent, path: str = "/v1/completions", **scope: Any) -> Exchange:
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], **scope}
    return Exchange(scope, receive, sent.send)


async def start(exchange: Exchange, headers: list[tuple[bytes, bytes]]) -> None:
    await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})


async def send(exchange: Exchange, body: bytes, more: bool = True) -> None:
    await exchange.send({"type": "http.response.body", "body": body, "more_body": more})


@in_event_loop
async def test_an_answer_carries_the_request_id_once() -> None:
    sent = Sent()
    exchange = an_exchange(sent, headers=[(b"x-request-id", b"mine")])
    await start(exchange, [(b"x-request-id", b"of-the-application"), (b"x-request-id", b"again")])
    assert sent[0]["headers"] == [
        (b"x-request-id", b"mine"),
        (b"request-id", b"mine"),  # for Anthropic's clients
        (b"vary", b"Origin"),
    ]
    assert exchange.status == 200


@in_event_loop
async def test_a_new_request_id_replaces_two_given_ones() -> None:
    scope_headers = [(b"x-request-id", b"one"), (b"x-request-id", b"two")]
    exchange = an_exchange(Sent(), headers=scope_headers)
    assert exchange.scope["headers"] == [(b"x-request-id", exchange.request_id.encode())]
    assert exchange.request_id not in ("one", "two")


@in_event_loop
async def test_nothing_follows_a_finished_answer() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await exchange.answer(PlainTextResponse("done"))
    assert exchange.finished
    await send(exchange, b"more")
    await exchange.end()
    assert sent.body == b"done"


@in_event_loop
async def test_a_closing_exchange_closes_its_connection() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    exchange.closing = True
    await start(exchange, [(b"connection", b"keep-alive")])
    assert (b"connection", b"close") in sent[0]["headers"]
    assert len([name for name, _ in sent[0]["headers"] if name == b"connection"]) == 1


@in_event_loop
async def test_ending_before_the_start_answers_503() -> None:
    sent = Sent()
    await an_exchange(sent).end()
    assert sent[0]["status"] == 503
    assert {(b"connection", b"close"), (b"retry-after", b"5")} < set(sent[0]["headers"])
    assert json.loads(sent.body)["error"]["type"] == "service_unavailable"


@pytest.mark.parametrize(
    ("path", "name", "error"),
    [
        ("/v1/completions", None, {"error": {"code": 503}}),
        ("/v1/messages", "error", {"type": "error", "error": {"type": "overloaded_error"}}),
        ("/v1/responses", "error", {"type": "error", "code": "server_error"}),
    ],
)
@in_event_loop
async def test_ending_a_stream_adds_an_error_event_in_the_apis_format(
    path: str, name: str | None, error: dict[str, Any]
) -> None:
    sent = Sent()
    exchange = an_exchange(sent, path)
    await start(exchange, EVENT_STREAM)
    await send(exchange, b"data: half an eve")
    await exchange.end()
    assert exchange.finished
    assert not sent[-1]["more_body"]
    _, event, done, rest = sent.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    *names, data = event.decode().splitlines()
    assert names == ([f"event: {name}"] if name else [])
    found = json.loads(data.removeprefix("data: "))
    for key, value in error.items():
        assert found[key] == value or found[key].items() >= value.items()


@in_event_loop
async def test_ending_a_stream_whose_events_are_complete_adds_none() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await start(exchange, EVENT_STREAM)
    await send(exchange, b"data: {}\n\n" + DONE)
    await exchange.end()
    assert sent.body == b"data: {}\n\n" + DONE
    assert not sent[-1]["more_body"]


@in_event_loop
async def test_an_incomplete_document_is_not_ended() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await start(exchange, [(b"content-type", b"application/json")])
    await send(exchange, b"[1,")
    await exchange.end()
    assert not exchange.finished
    assert sent[-1]["more_body"]


@in_event_loop
async def test_a_websocket_is_closed_with_the_reason() -> None:
    sent = Sent()
    scope = {"type": "websocket", "path": "/v1/realtime", "headers": []}
    exchange = Exchange(scope, receive, sent.send)
    await exchange.end()
    assert (sent[0]["type"], sent[0]["code"]) == ("websocket.close", 1012)
    assert len(sent[0]["reason"].encode()) <= 123, "the limit of a close frame"
    assert exchange.finished


@pytest.mark.parametrize(
    ("vary", "sent_vary"),
    [(None, "Origin"), ("Accept", "Accept, Origin"), ("accept, ORIGIN", "accept, ORIGIN")],
)
@in_event_loop
async def test_an_answer_varies_with_the_origin(vary: str | None, sent_vary: str) -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await start(exchange, [(b"vary", vary.encode())] if vary else [])
    assert dict(sent[0]["headers"])[b"vary"].decode() == sent_vary
