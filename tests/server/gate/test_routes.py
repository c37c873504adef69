"""The decisions on routes, and which request each of them covers."""

from __future__ import annotations

import pytest

from entrypoint.settings import ADMIN_ROUTES
from server.gate.routes import (
    DECISIONS,
    LIVE,
    READY,
    WEBSOCKET,
    Access,
    Decision,
    allowed_methods,
    decide,
)


def test_probes_are_open_to_everyone() -> None:
    assert {decide("GET", path) for path in (*READY, *LIVE)} == {Decision(Access.OPEN)}


def test_head_is_decided_as_get() -> None:
    assert decide("HEAD", "/v1/models") == decide("GET", "/v1/models") is not None


@pytest.mark.parametrize(
    ("method", "path", "access"),
    [
        ("GET", "/v1/responses/resp_1", Access.KEY),
        ("POST", "/v1/responses/resp_1/cancel", Access.KEY),
        ("DELETE", "/adapters/one", Access.ADMIN),
    ],
)
def test_a_variable_part_matches_one_segment(method: str, path: str, access: Access) -> None:
    decision = decide(method, path)
    assert decision is not None
    assert decision.access is access


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/",
        "/v1/responses/a/b",
        "/v1/responses/a/",
        "/adapters",
        "/v1/models\n",
        "/v1/responses/a/cancel\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_similar_paths_have_no_decision(method: str, path: str) -> None:
    if (method, path) != ("POST", "/adapters"):
        assert decide(method, path) is None


def test_a_path_allows_only_its_decided_methods() -> None:
    assert allowed_methods("/v1/models") == ["GET"]
    assert allowed_methods("/ping") == ["GET", "POST"]
    assert allowed_methods("/v1/realtime") == [WEBSOCKET]
    assert allowed_methods("/none") == []


def test_exactly_the_admin_routes_have_a_group() -> None:
    for decision in DECISIONS.values():
        assert (decision.group in ADMIN_ROUTES) == (decision.access is Access.ADMIN)


def test_only_routes_that_need_a_key_give_the_engine_work() -> None:
    assert {decision.access for decision in DECISIONS.values() if decision.work} == {Access.KEY}
