"""Refusals as clients receive them."""

from __future__ import annotations

import json

import pytest

from entrypoint.shared.api_errors import TOKEN_LIMIT, UNKNOWN_URL, Api
from server.gate.refusal import ErrorType, Reason, Refusal


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        (
            Api.OPENAI,
            {
                "error": {
                    "message": "no route ü",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "unknown_url",
                }
            },
        ),
        (
            Api.ANTHROPIC,
            {
                "type": "error",
                "error": {
                    "type": "not_found_error",
                    "message": "no route ü",
                    "details": {"error_code": "unknown_url"},
                },
                "request_id": "mine",
            },
        ),
    ],
)
def test_a_refusal_becomes_an_error_in_the_apis_format(api: Api, expected: object) -> None:
    refusal = Refusal(404, ErrorType.NOT_FOUND, "no route ü", kind=UNKNOWN_URL)
    response = refusal.response(api, "mine")
    assert response.status_code == 404
    assert json.loads(bytes(response.body)) == expected
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(response.body)
    assert "retry-after" not in response.headers
    assert "connection" not in response.headers


def test_retry_after_is_at_least_one_second() -> None:
    for seconds, header in ((0.2, "1"), (1.0, "1"), (59.6, "60")):
        refusal = Refusal(429, ErrorType.RATE_LIMIT, "full", retry_after=seconds)
        assert refusal.response().headers["retry-after"] == header


def test_a_refusal_may_close_the_connection_and_add_headers() -> None:
    refusal = Refusal(413, ErrorType.INVALID_REQUEST, "", close=True, headers={"allow": "GET"})
    headers = refusal.response().headers
    assert (headers["connection"], headers["allow"]) == ("close", "GET")


def test_metrics_count_by_reason_or_else_by_error_type() -> None:
    assert str(Refusal(401, ErrorType.AUTHENTICATION, "").reason) == "authentication_error"
    refusal = Refusal(503, ErrorType.UNAVAILABLE, "", reason=Reason.STOPPING)
    assert str(refusal.reason) == "stopping"


def test_a_used_up_token_budget_has_its_own_type() -> None:
    refusal = Refusal(429, ErrorType.RATE_LIMIT, "", reason=Reason.KEY_TOKENS)
    assert refusal.kind is TOKEN_LIMIT
