"""Every error has the format of the API called, and a client's mistake one line in the log.

The official clients raise the exception that the status means, with the code that programs check.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.support.launch import DEMO, KEY, Launch

LONG = "word " * 5000
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FUNCTION = {"name": "f", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
QUESTION = [{"role": "user", "content": "What is this?"}]
IMAGE = {"url": "data:image/png;base64,AAAA"}
REFUSAL = {"type": "refusal", "refusal": "I cannot."}
TEXT = {"type": "output_text", "text": "Yes.", "annotations": []}


def chat(**changed: Any) -> tuple[str, dict[str, Any]]:
    body = {"model": DEMO, "messages": QUESTION, "max_tokens": 4}
    return "/v1/chat/completions", {**body, **changed}


def completion(**changed: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/completions", {"model": DEMO, "prompt": "a", "max_tokens": 4, **changed}


def response(**changed: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"model": DEMO, "input": "a", "max_output_tokens": 16, **changed}


def message(**changed: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/messages", {"model": DEMO, "messages": QUESTION, "max_tokens": 4, **changed}


def spoken(*content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a history with what the assistant said."""
    said = {"type": "message", "role": "assistant", "id": "m", "status": "completed"}
    return [{"role": "user", "content": "a"}, {**said, "content": list(content)}]


MISTAKES: list[tuple[tuple[str, dict[str, Any]], int, str]] = [
    (chat(model="nope"), 404, "model_not_found"),
    (chat(model=3), 400, "invalid_type"),
    (chat(messages=[{"role": "user", "content": LONG}]), 400, "context_length_exceeded"),
    (chat(max_tokens=3000), 400, "context_length_exceeded"),
    (chat(max_tokens=-1), 400, "invalid_value"),
    (chat(n=100_000), 400, "invalid_request_error"),
    (chat(temperature=-1), 400, "invalid_value"),
    (chat(temperature="hot"), 400, "invalid_type"),
    (chat(top_logprobs=3), 400, "invalid_value"),
    (chat(messages="a"), 400, "invalid_type"),
    (chat(messages=[]), 400, "invalid_request_error"),
    (chat(messages=[{"content": "a"}]), 400, "missing_required_parameter"),
    (
        chat(messages=[{"role": "user", "content": [{"type": "zzz"}]}]),
        400,
        "missing_required_parameter",
    ),
    (
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": IMAGE}]}]),
        400,
        "invalid_request_error",
    ),
    (chat(response_format={"type": "xml"}), 400, "invalid_value"),
    (chat(response_format={"type": "json_schema"}), 400, "invalid_value"),
    (
        chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "g"}}),
        400,
        "invalid_value",
    ),
    (chat(tool_choice="required"), 400, "invalid_value"),
    (
        chat(tools=[{"type": "function", "function": {}}]),
        400,
        "missing_required_parameter",
    ),
    (
        chat(structured_outputs={"regex": "a", "choice": ["a"]}),
        400,
        "invalid_request_error",
    ),
    (completion(model="nope"), 404, "model_not_found"),
    (completion(prompt=LONG), 400, "context_length_exceeded"),
    (completion(prompt=[-1]), 400, "invalid_value"),
    (completion(suffix="a"), 400, "invalid_value"),
    (completion(logit_bias="a"), 400, "invalid_type"),
    (response(model="nope"), 404, "model_not_found"),
    (response(input=LONG), 400, "context_length_exceeded"),
    (response(previous_response_id="resp_nope"), 404, "previous_response_not_found"),
    (response(background=True, store=False), 400, "invalid_value"),
    (response(input=spoken({"type": "refusal"})), 400, "missing_required_parameter"),
    (message(model="nope"), 404, "model_not_found"),
    (
        message(messages=[{"role": "user", "content": LONG}]),
        400,
        "context_length_exceeded",
    ),
    (message(max_tokens=3000), 400, "context_length_exceeded"),
    (message(max_tokens=0), 400, "invalid_value"),
    (message(temperature=-1), 400, "invalid_value"),
    (message(messages=[]), 400, "invalid_request_error"),
    (message(messages=[{"role": "alien", "content": "a"}]), 400, "invalid_value"),
    (
        message(
            tools=[{"name": "f", "input_schema": SCHEMA}], tool_choice={"type": "tool", "name": "g"}
        ),
        400,
        "invalid_request_error",
    ),
]
"""What vLLM checks before an answer starts: the request, the status and the code."""

LATE = [
    (chat(structured_outputs={"regex": "(("}), "invalid_request_error"),
    (chat(structured_outputs={"json": {"type": "nope"}}), "invalid_request_error"),
    (chat(structured_outputs={"grammar": "root ::= ((("}), "invalid_request_error"),
    (chat(structured_outputs={"choice": []}), "invalid_request_error"),
    (chat(logit_bias={"99999999": 1}), "invalid_value"),
    (chat(logprobs=True, top_logprobs=100), "invalid_value"),
    (completion(structured_outputs={"regex": "(("}), "invalid_request_error"),
    (completion(logprobs=100), "invalid_value"),
    (
        response(text={"format": {"type": "json_schema", "name": "a", "schema": {"type": "nope"}}}),
        "invalid_request_error",
    ),
    (
        message(
            output_config={"format": {"type": "json_schema", "schema": {"type": "nope"}}},
        ),
        "invalid_request_error",
    ),
]
"""What vLLM checks when a stream has started: the request and the code."""


LogOf = Callable[[str], list[str]]


@pytest.fixture
def log_of(server: Launch) -> LogOf:
    """Return the lines of the server's log from the start of the test to a request's own line."""
    before = len(server.log.read_text(errors="replace").splitlines())

    def lines_until(request_id: str) -> list[str]:
        deadline = time.monotonic() + 60
        while True:
            lines = server.log.read_text(errors="replace").splitlines()[before:]
            if any(request_id in line for line in lines):
                # the statistics of an engine come at any time
                return [line for line in lines if "Engine 0" not in line]
            assert time.monotonic() < deadline, server.tail()
            time.sleep(0.01)

    return lines_until


@pytest.fixture(scope="module")
def http(server: Launch) -> Iterator[httpx2.Client]:
    with httpx2.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=120
    ) as client:
        yield client


def label(value: object) -> str:
    """Return a short name of a request."""
    return str(value)[:60] if isinstance(value, tuple) else ""


def check(path: str, document: dict[str, Any], code: str, request_id: str) -> None:
    """Check an error's format and its code."""
    error = document["error"]
    assert error["message"]
    if path.startswith("/v1/messages"):
        assert document["type"] == "error"
        assert document["request_id"] == request_id
        assert error["details"]["error_code"] == code
        assert set(document) == {"type", "error", "request_id"}
    else:
        assert error["code"] == code
        assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("stream", [False, True], ids=["full", "stream"])
@pytest.mark.parametrize(("request_", "status", "code"), MISTAKES, ids=label)
def test_a_mistake_has_its_code_and_one_line_in_the_log(
    http: httpx2.Client,
    log_of: LogOf,
    request_: tuple[str, dict[str, Any]],
    status: int,
    code: str,
    stream: bool,
) -> None:
    path, body = request_
    answer = http.post(path, json={**body, "stream": stream})
    assert answer.status_code == status, answer.text
    request_id = answer.headers["x-request-id"]
    check(path, answer.json(), code, request_id)
    lines = log_of(request_id)
    assert len(lines) == 1, lines
    assert lines[0].endswith(f", {code}")


@pytest.mark.parametrize(("request_", "code"), LATE, ids=label)
def test_a_mistake_in_a_stream_is_its_last_event(
    http: httpx2.Client,
    log_of: LogOf,
    request_: tuple[str, dict[str, Any]],
    code: str,
) -> None:
    path, body = request_
    answer = http.post(path, json={**body, "stream": True})
    assert answer.status_code == 200
    events = [event for event in answer.text.split("\n\n") if event not in ("", "data: [DONE]")]
    *names, data = events[-1].splitlines()
    assert names == ([] if "completions" in path else ["event: error"])
    document = json.loads(data.removeprefix("data: "))
    if path == "/v1/responses":
        assert (document["type"], document["code"]) == ("error", code)
        assert document["sequence_number"] == len(events) - 1
    else:
        check(path, document, code, answer.headers["x-request-id"])
    assert len(log_of(answer.headers["x-request-id"])) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/tokenize",
    ],
)
@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (b'{"model": ', "application/json", "invalid_json"),
        (b'{"model": "\xff"}', "application/json", "invalid_json"),
        (b"[]", "application/json", "invalid_type"),
        (b"", "application/json", "missing_required_parameter"),
        (b"{}", "text/plain", "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", "unsupported_media_type"),
    ],
    ids=str,
)
def test_a_body_that_is_no_json_object_is_an_error_in_every_api(
    http: httpx2.Client, path: str, content: bytes, content_type: str, code: str
) -> None:
    answer = http.post(path, content=content, headers={"content-type": content_type})
    assert answer.status_code == 400
    check(path, answer.json(), code, answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/score",
        "/v1/audio/transcriptions",
        "/pooling",
        "/classify",
    ],
)
def test_a_route_of_other_models_names_those_of_this_one(http: httpx2.Client, path: str) -> None:
    answer = http.post(path, json={"model": DEMO, "input": "a"})
    assert answer.status_code == 404
    check(path, answer.json(), "unknown_url", "")
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


class TestOfficialClients:
    @pytest.fixture(scope="class")
    def openai_client(self, server: Launch) -> OpenAI:
        return OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)

    @pytest.fixture(scope="class")
    def anthropic_client(self, server: Launch) -> Anthropic:
        return Anthropic(base_url=server.url, auth_token=KEY, max_retries=0)

    @pytest.mark.parametrize(
        ("body", "error", "code"),
        [
            ({"model": "nope"}, openai.NotFoundError, "model_not_found"),
            ({"max_tokens": 3000}, openai.BadRequestError, "context_length_exceeded"),
            ({"temperature": -1}, openai.BadRequestError, "invalid_value"),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_openais_client_has_the_code(
        self,
        openai_client: OpenAI,
        body: dict[str, Any],
        error: type[openai.APIStatusError],
        code: str,
        stream: bool,
    ) -> None:
        with pytest.raises(error) as raised:
            openai_client.chat.completions.create(
                **{"model": DEMO, "messages": QUESTION, "stream": stream, **body}
            )
        assert (raised.value.code, raised.value.type) == (code, "invalid_request_error")
        assert raised.value.param in body
        assert raised.value.request_id

    @pytest.mark.parametrize(
        "request_", [LATE[1][0], LATE[8][0]], ids=["chat completions", "responses"]
    )
    def test_openais_client_raises_an_error_of_a_stream(
        self, openai_client: OpenAI, request_: tuple[str, dict[str, Any]]
    ) -> None:
        path, body = request_
        client: Any = openai_client
        api = client.responses if path == "/v1/responses" else client.chat.completions
        known = {name: body[name] for name in body if name != "structured_outputs"}
        with pytest.raises(openai.APIError, match="nope") as raised:
            list(api.create(**known, stream=True, extra_body=body))
        assert (raised.value.code, raised.value.type) == ("invalid_request_error",) * 2

    @pytest.mark.parametrize(
        ("body", "error", "kind", "code"),
        [
            ({"model": "nope"}, anthropic.NotFoundError, "not_found_error", "model_not_found"),
            (
                {"max_tokens": 3000},
                anthropic.BadRequestError,
                "invalid_request_error",
                "context_length_exceeded",
            ),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_anthropics_client_has_type_and_code(
        self,
        anthropic_client: Anthropic,
        body: dict[str, Any],
        error: type[anthropic.APIStatusError],
        kind: str,
        code: str,
        stream: bool,
    ) -> None:
        with pytest.raises(error) as raised:
            anthropic_client.messages.create(
                **{
                    "model": DEMO,
                    "max_tokens": 4,
                    "messages": QUESTION,
                    "stream": stream,
                    **body,
                }
            )
        assert (raised.value.type, raised.value.error_code) == (kind, code)
        assert raised.value.request_id

    def test_anthropics_client_raises_an_error_of_a_stream(
        self, anthropic_client: Anthropic
    ) -> None:
        path, body = LATE[-1][0]
        assert path == "/v1/messages"
        with pytest.raises(anthropic.APIStatusError) as raised:
            list(anthropic_client.messages.create(**{**body, "stream": True}))
        assert raised.value.type == "invalid_request_error"
        assert "nope" in str(raised.value.api_message)

    def test_anthropics_client_reports_a_wrong_key(self, server: Launch) -> None:
        client = Anthropic(base_url=server.url, auth_token="wrong", max_retries=0)
        with pytest.raises(anthropic.AuthenticationError) as raised:
            client.models.list()
        assert raised.value.type == "authentication_error"


@pytest.mark.parametrize(
    "content",
    [(REFUSAL,), (TEXT, REFUSAL), (REFUSAL, TEXT), (), (TEXT,)],
    ids=["refusal", "text, refusal", "refusal, text", "empty", "text"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["full", "stream"])
def test_a_history_with_a_refusal_is_answered(
    http: httpx2.Client, content: tuple[dict[str, Any], ...], stream: bool
) -> None:
    asked = [*spoken(*content), {"role": "user", "content": "What is this?"}]
    path, body = response(input=asked, stream=stream)
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text.replace('"error":null', "")
