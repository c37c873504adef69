"""What an exchange adds to an answer, and how it ends one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from entrypoint.shared.api_errors import INVALID_KEY, SERVER
from server.gate.exchange import DONE, ERROR_BYTES, Exchange
from server.gate.refusal import ErrorType, Refusal
from server.gate.vllm_errors import VllmError
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
    assert json.loads(sent.body)["error"]["code"] == "service_unavailable"


@pytest.mark.parametrize(
    ("path", "name", "error"),
    [
        ("/v1/completions", None, {"error": {"code": "service_unavailable"}}),
        ("/v1/messages", "error", {"type": "error", "error": {"type": "overloaded_error"}}),
        ("/v1/responses", "error", {"type": "error", "code": "service_unavailable"}),
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


@pytest.mark.parametrize("sent_number", [0, 7])
@in_event_loop
async def test_an_error_event_of_the_responses_api_has_the_next_number(sent_number: int) -> None:
    sent = Sent()
    exchange = an_exchange(sent, "/v1/responses")
    await start(exchange, EVENT_STREAM)
    text = json.dumps({"delta": '"sequence_number": 99', "sequence_number": sent_number})
    await send(exchange, f"event: x\ndata: {text}\n\n".encode())
    await exchange.end()
    event = sent.body.split(b"\n\n")[1].partition(b"data: ")[2]
    assert json.loads(event)["sequence_number"] == sent_number + 1


@pytest.mark.parametrize(
    ("path", "chunk", "error"),
    [
        (
            "/v1/chat/completions",
            {"error": {"message": "no", "type": "BadRequestError", "param": "n", "code": 400}},
            {"error": {"message": "no", "type": "invalid_request_error", "param": "n"}},
        ),
        (
            "/v1/completions",
            {"error": {"message": "no", "type": "InternalServerError", "code": 500}},
            {"error": {"message": "no", "type": "server_error", "code": "server_error"}},
        ),
        (
            "/v1/messages",
            {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 400}},
            {"type": "error", "error": {"message": "no", "type": "invalid_request_error"}},
        ),
        (
            "/v1/messages",
            {"type": "error", "error": {"message": "no", "type": "internal_error"}},
            {"type": "error", "error": {"message": "no", "type": "api_error"}},
        ),
    ],
)
@in_event_loop
async def test_an_error_event_of_vllm_gets_the_apis_format(
    path: str, chunk: dict[str, Any], error: dict[str, Any]
) -> None:
    sent = Sent()
    exchange = an_exchange(sent, path)
    await start(exchange, EVENT_STREAM)
    name = b"event: error\n" if "messages" in path else b""
    await send(exchange, name + b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await send(exchange, DONE, more=False)
    event, done, rest = sent.body.split(b"\n\n")
    assert event.startswith(name + b"data: ")
    assert done + b"\n\n" == DONE
    assert rest == b""
    found = json.loads(event.rpartition(b"data: ")[2])
    for key, value in error.items():
        assert found[key] == value or value.items() <= found[key].items()


@pytest.mark.parametrize(
    "chunk",
    [b'data: {"error": half', b'data: {"error": 5}\n\n', b"event: error\ndata: {}\n\n"],
)
@in_event_loop
async def test_an_event_that_only_looks_like_an_error_is_passed_on(chunk: bytes) -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await start(exchange, EVENT_STREAM)
    await send(exchange, chunk)
    assert sent.body == chunk


VLLM_ERROR = {"error": {"message": "no", "type": "BadRequestError", "param": "n", "code": 400}}
OPENAI = {"message": "no", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", {"error": OPENAI}),
        ("/tokenize", {"error": OPENAI}),
        (
            "/v1/messages",
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": "no",
                    "details": {"error_code": "invalid_value"},
                },
                "request_id": "mine",
            },
        ),
        ("/v2/rerank", {"id": "mine", "message": "no"}),
    ],
)
@in_event_loop
async def test_an_error_of_vllm_gets_the_apis_format(path: str, expected: object) -> None:
    sent = Sent()
    exchange = an_exchange(sent, path, headers=[(b"x-request-id", b"mine")])
    body = json.dumps(VLLM_ERROR).encode()
    await exchange.send(
        {
            "type": "http.response.start",
            "status": 400,
            "headers": [
                (b"content-length", str(len(body)).encode()),
                (b"content-type", b"application/json"),
                (b"access-control-allow-origin", b"*"),
            ],
        }
    )
    assert not sent, "nothing is sent before the body is known"
    await send(exchange, body[:5])
    await send(exchange, body[5:], more=False)
    assert json.loads(sent.body) == expected
    headers = dict(sent[0]["headers"])
    assert headers[b"content-length"] == str(len(sent.body)).encode()
    assert headers[b"access-control-allow-origin"] == b"*"
    assert exchange.finished
    assert exchange.status == 400
    assert exchange.error is not None
    assert exchange.error.code == "invalid_value"


@pytest.mark.parametrize(
    ("path", "code", "param"),
    [
        ("/v1/responses", "previous_response_not_found", "previous_response_id"),
        ("/v1/responses/resp_1", "response_not_found", "response_id"),
    ],
)
@in_event_loop
async def test_a_missing_previous_response_is_named(path: str, code: str, param: str) -> None:
    sent = Sent()
    exchange = an_exchange(sent, path)
    await exchange.send({"type": "http.response.start", "status": 404, "headers": []})
    error = {"message": "Response with id 'resp_1' not found.", "param": "response_id"}
    await send(exchange, json.dumps({"error": error}).encode(), more=False)
    found = json.loads(sent.body)["error"]
    assert (found["code"], found["param"]) == (code, param)


@in_event_loop
async def test_a_huge_error_is_not_kept_in_memory() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await exchange.send({"type": "http.response.start", "status": 500, "headers": []})
    for _ in range(10):
        await send(exchange, b"x" * ERROR_BYTES)
    await send(exchange, b"", more=False)
    assert len(sent.body) < 2 * ERROR_BYTES
    assert json.loads(sent.body)["error"]["code"] == "server_error"


@in_event_loop
async def test_an_error_that_was_not_complete_when_the_server_stopped_is_a_503() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await exchange.send({"type": "http.response.start", "status": 400, "headers": []})
    await exchange.end()
    await send(exchange, b"{}", more=False)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 503


@in_event_loop
async def test_a_failed_stream_ends_with_an_error() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await start(exchange, EVENT_STREAM)
    await exchange.fail(VllmError(SERVER, "broken"), 500)
    assert b'"broken"' in sent.body
    assert sent.body.endswith(DONE)
    assert not sent[-1]["more_body"]


@in_event_loop
async def test_a_failure_before_the_start_is_answered() -> None:
    sent = Sent()
    exchange = an_exchange(sent)
    await exchange.fail(VllmError(SERVER, "broken"), 500)
    assert sent[0]["status"] == 500
    assert json.loads(sent.body)["error"]["message"] == "broken"


@in_event_loop
async def test_a_refused_handshake_gets_the_error_if_the_server_can_send_it() -> None:
    sent = Sent()
    scope = {
        "type": "websocket",
        "path": "/v1/realtime",
        "headers": [],
        "extensions": {"websocket.http.response": {}},
    }
    await Exchange(scope, receive, sent.send).refuse(
        Refusal(401, ErrorType.AUTHENTICATION, "no key", kind=INVALID_KEY)
    )
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 401
    assert json.loads(sent.body)["error"]["code"] == "invalid_api_key"


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
