"""The decisions on routes, and which request each of them covers."""

from __future__ import annotations

import pytest

from entrypoint.settings import ADMIN_ROUTES
from server.gate.routes import (
    DECISIONS,
    LIVE,
    READY,
    Access,
    Decision,
    allowed_methods,
    decide,
    without_trailing_slash,
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


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/models", ["GET", "HEAD", "OPTIONS"]),
        ("/v1/completions", ["POST", "OPTIONS"]),
        ("/ping", ["GET", "HEAD", "POST", "OPTIONS"]),
        ("/adapters/one", ["DELETE", "OPTIONS"]),
        ("/v1/realtime", ["GET", "OPTIONS"]),
        ("/nope", []),
    ],
)
def test_a_path_allows_its_decided_methods(path: str, methods: list[str]) -> None:
    assert allowed_methods(path) == methods


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/models/", "/v1/models"),
        ("/v1/models/org/name/", "/v1/models/org/name"),
        ("/v1/responses/a/", "/v1/responses/a"),
        ("/v1/realtime/", "/v1/realtime"),
        ("/health/", "/health"),
        ("/sleep/", "/sleep"),
        ("/v1/completions//", "/v1/completions//"),
        ("/nope/", "/nope/"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_one_trailing_slash_of_a_known_path_is_removed(path: str, meant: str) -> None:
    assert without_trailing_slash(path) == meant


@pytest.mark.parametrize("name", ["a", "org/name", "org/name@v1", "/models/a", ".", "../sleep"])
def test_everything_below_models_is_a_name_to_look_up(name: str) -> None:
    assert decide("GET", f"/v1/models/{name}") == Decision(Access.KEY)
    assert decide("POST", f"/v1/models/{name}") is None


def test_exactly_the_admin_routes_have_a_group() -> None:
    for decision in DECISIONS.values():
        assert (decision.group in ADMIN_ROUTES) == (decision.access is Access.ADMIN)


def test_only_routes_that_need_a_key_give_the_engine_work() -> None:
    assert {decision.access for decision in DECISIONS.values() if decision.work} == {Access.KEY}
