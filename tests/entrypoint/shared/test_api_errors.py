"""The table of errors, and the format of each API."""

from __future__ import annotations

import json

import pytest

from entrypoint.shared.api_errors import (
    CONTEXT_LENGTH,
    KINDS,
    UNAVAILABLE,
    Api,
    Kind,
    api_of,
    error_body,
    error_event,
    kind_of_status,
)

ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
}
"""The types in Anthropic's documentation."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_kind_has_words_as_code_and_a_type_that_anthropic_documents(kind: Kind) -> None:
    assert kind.code.replace("_", "").isalpha()
    assert kind.anthropic in ANTHROPIC_TYPES
    assert kind_of_status(kind.statuses[0]).statuses[0] == kind.statuses[0]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request_error"),
        (402, "invalid_request_error"),
        (404, "not_found"),
        (418, "invalid_request_error"),
        (429, "rate_limit_exceeded"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "service_unavailable"),
        (504, "server_error"),
    ],
)
def test_every_status_means_a_kind(status: int, code: str) -> None:
    assert kind_of_status(status).code == code


@pytest.mark.parametrize(
    ("path", "headers", "api"),
    [
        ("/v1/chat/completions", {}, Api.OPENAI),
        ("/v1/models", {}, Api.OPENAI),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, Api.ANTHROPIC),
        ("/v1/messages", {}, Api.ANTHROPIC),
        ("/v1/messages/count_tokens", {}, Api.ANTHROPIC),
        ("/v1/messagesx", {}, Api.OPENAI),
        ("/v1/responses", {}, Api.RESPONSES),
        ("/v1/responses/resp_1/cancel", {}, Api.RESPONSES),
        ("/cohere/v2/chat", {}, Api.COHERE),
        ("/v2/rerank", {}, Api.COHERE),
        ("/v2/rerank/", {}, Api.COHERE),
        ("/v1/rerank", {}, Api.OPENAI),
        ("/nope", {}, Api.OPENAI),
    ],
)
def test_path_and_headers_decide_the_api(path: str, headers: dict[str, str], api: Api) -> None:
    assert api_of(path, headers) is api


@pytest.mark.parametrize("api", [Api.OPENAI, Api.RESPONSES])
def test_openais_error_has_four_fields_and_details(api: Api) -> None:
    assert error_body(api, UNAVAILABLE, "wait", request_id="r", phase="weights") == {
        "error": {
            "message": "wait",
            "type": "server_error",
            "param": None,
            "code": "service_unavailable",
            "phase": "weights",
        }
    }


def test_anthropics_error_names_the_request() -> None:
    assert error_body(Api.ANTHROPIC, CONTEXT_LENGTH, "long", param="x", request_id="r") == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "long",
            "details": {"error_code": "context_length_exceeded"},
        },
        "request_id": "r",
    }


def test_coheres_error_is_a_message() -> None:
    assert error_body(Api.COHERE, UNAVAILABLE, "wait", request_id="r") == {
        "id": "r",
        "message": "wait",
    }


@pytest.mark.parametrize("api", Api)
def test_an_event_is_one_event_with_one_document(api: Api) -> None:
    event = error_event(api, UNAVAILABLE, "line\nbreak", request_id="r", sequence_number=3)
    assert event.endswith(b"\n\n")
    assert event.count(b"\n\n") == 1
    *names, data = event.decode().splitlines()[:-1]
    assert names == (["event: error"] if api in (Api.RESPONSES, Api.ANTHROPIC) else [])
    document = json.loads(data.removeprefix("data: "))
    if api is Api.RESPONSES:
        assert document["sequence_number"] == 3
        assert (document["type"], document["code"]) == ("error", "service_unavailable")
