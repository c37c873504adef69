"""Errors of vLLM 0.32 and its web framework, as the running server sends them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from server.gate.vllm_errors import describe, read_error

LONG = "This model's maximum context length is 2048 tokens. However, your prompt contains at least"
LARGE = "max_tokens=100000 cannot be greater than max_model_len=2048. Please request fewer"
DECODER = "The decoder prompt (length 9) is longer than the maximum model length of 8. Make sure"


def validation(kind: str) -> str:
    return f"1 validation error:\n  {{'type': '{kind}', 'loc': 'body.n', 'msg': 'x', 'input': '1'}}"


@pytest.mark.parametrize(
    ("status", "message", "param", "code", "read_param"),
    [
        (400, LONG, "input_tokens", "context_length_exceeded", "input_tokens"),
        (400, LONG, None, "context_length_exceeded", None),
        (400, LARGE, "max_tokens", "context_length_exceeded", "max_tokens"),
        (400, DECODER, None, "context_length_exceeded", None),
        (400, "temperature must be non-negative", "temperature", "invalid_value", "temperature"),
        (400, "not in (0, 1]. (parameter=top_p, value=7.0)", None, "invalid_value", "top_p"),
        (400, "Grammar error: Invalid type: nope", None, "invalid_request_error", None),
        (400, validation("json_invalid"), "body.10", "invalid_json", None),
        (400, validation("missing"), "body.model", "missing_required_parameter", "model"),
        (400, validation("missing"), "body", "missing_required_parameter", None),
        (400, validation("string_type"), "body.model", "invalid_type", "model"),
        (400, validation("float_parsing"), "body.n", "invalid_type", "n"),
        (400, validation("model_attributes_type"), "body", "invalid_type", None),
        (400, validation("literal_error"), "body.messages.0.role", "invalid_value", None),
        (400, validation("value_error"), "body.n", "invalid_value", "n"),
        (400, "x\n Field required [type=missing, input_value={}]", None, None, None),
        (400, "There was an error parsing the body", None, "invalid_json", None),
        (
            400,
            "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed",
            None,
            "unsupported_media_type",
            None,
        ),
        (404, "The model `a\nb` does not exist. Valid aliases: c.", "model", None, "model"),
        (404, "The model `a` does not exist.", None, "model_not_found", "model"),
        (404, "The model 'a' does not exist. GET", "model", "model_not_found", "model"),
        (404, "Response with id 'x' not found.", "response_id", "response_not_found", None),
        (404, "Not Found", None, "unknown_url", None),
        (404, "The lora adapter 'x' cannot be found.", None, "not_found", None),
        (422, "Failed to fetch the image", "image_url", "unprocessable_entity", "image_url"),
        (403, "Scale-out endpoints are disabled.", None, "permission_denied", None),
        (500, "EngineCore encountered an issue", None, "server_error", None),
        (501, "not supported", None, "not_implemented", None),
        (503, "Retry", None, "service_unavailable", None),
    ],
)
def test_status_message_and_parameter_decide_the_code(
    status: int, message: str, param: str | None, code: str | None, read_param: str | None
) -> None:
    error = describe(status, message, param)
    if code is not None:
        assert error.kind.code == code
    if read_param is not None:
        assert error.param == read_param


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (LONG, f"The prompt is too long. {LONG}"),
        (DECODER, f"The prompt is too long. {DECODER}"),
        (LARGE, LARGE),
    ],
)
def test_only_a_long_prompt_is_called_too_long(message: str, expected: str) -> None:
    assert describe(400, message).message == expected


@pytest.mark.parametrize(
    ("status", "body", "message", "param"),
    [
        (400, {"error": {"message": "a", "type": "b", "param": "c", "code": 400}}, "a", "c"),
        (400, {"error": {"message": "a", "param": 3}}, "a", None),
        (400, {"type": "error", "error": {"type": "BadRequestError", "message": "a"}}, "a", None),
        (401, {"error": "Unauthorized"}, "Unauthorized", None),
        (400, {"detail": "a"}, "a", None),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "a"}, "b"]}, "body.n: a; b", None),
        (400, {"message": "a"}, "a", None),
        (500, "text", "text", None),
        (500, b"Internal Server Error", "Internal Server Error", None),
        # nothing to quote: the status's own words
        (500, b"", "Internal Server Error", None),
        (400, {}, "Bad Request", None),
        (400, {"error": None}, "Bad Request", None),
        (400, {"error": {"message": None}}, "Bad Request", None),
        (400, [], "Bad Request", None),
        (400, b'{"error": {"message": "cut', "Bad Request", None),
        (400, b"[" * 60_000, "Bad Request", None),
        (400, b"\xff", "\ufffd", None),
        (502, b"<html>", "Bad Gateway", None),
    ],
)
def test_the_message_is_read_from_every_format(
    status: int, body: Any, message: str, param: str | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = read_error(status, content)
    assert (error.message, error.param) == (message, param)


def test_a_message_of_pydantic_loses_what_is_for_programmers() -> None:
    class Refusal(BaseModel):
        refusal: str

    with pytest.raises(ValidationError) as raised:
        Refusal.model_validate({"type": "refusal"})
    error = describe(400, str(raised.value))
    assert error.message == "1 validation error for Refusal\nrefusal\n  Field required"
    assert error.kind.code == "missing_required_parameter"


def test_an_unknown_status_is_read_too() -> None:
    assert read_error(599, b"").kind.code == "server_error"
