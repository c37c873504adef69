"""Refusals as clients receive them."""

from __future__ import annotations

import json

from server.gate.refusal import ErrorType, Reason, Refusal


def test_a_refusal_becomes_an_error_in_openais_format() -> None:
    response = Refusal(404, ErrorType.NOT_FOUND, "no route ü").response()
    assert response.status_code == 404
    assert json.loads(bytes(response.body)) == {
        "error": {"message": "no route ü", "type": "not_found_error", "param": None, "code": 404}
    }
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
