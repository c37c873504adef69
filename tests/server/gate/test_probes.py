"""Answers to probes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from starlette.responses import JSONResponse
from starlette.types import Message

from entrypoint.shared.health import HealthState
from server.gate.activity import EngineActivity
from server.gate.exchange import Exchange
from server.gate.health import Health, Verdict
from server.gate.probes import probe_response
from tests.support.event_loop import in_event_loop


class DeepHealth(Health):
    """A health whose deep check fails, and is counted."""

    def __init__(self) -> None:
        super().__init__(EngineActivity(), 60)
        self.deep_checks = 0
        self.attend(SimpleNamespace(errored=False))

    async def deep_readiness(self) -> Verdict:
        self.deep_checks += 1
        return Verdict(HealthState.NO_TOKEN, "no token")


async def _receive() -> Message:
    return {"type": "http.disconnect"}


async def _send(message: Message) -> None:
    pass


async def probe(
    health: Health, path: str = "/health/ready", method: str = "GET", query: str = ""
) -> JSONResponse:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [],
    }
    return await probe_response(Exchange(scope, _receive, _send), path, health)


def status(response: JSONResponse) -> object:
    return json.loads(bytes(response.body))["status"]


@pytest.mark.parametrize(("path", "text"), [("/health/ready", "ready"), ("/health/live", "alive")])
@in_event_loop
async def test_a_healthy_server_answers_200(path: str, text: str) -> None:
    response = await probe(DeepHealth(), path)
    assert (response.status_code, status(response)) == (200, text)
    assert "retry-after" not in response.headers


@in_event_loop
async def test_a_stopping_server_closes_the_probes_connection() -> None:
    health = DeepHealth()
    health.stopping = True
    response = await probe(health)
    assert (response.status_code, status(response)) == (503, "the server is stopping")
    assert (response.headers["retry-after"], response.headers["connection"]) == ("5", "close")


@pytest.mark.parametrize(
    ("path", "query", "checks"),
    [
        ("/health/ready", "deep=1", 1),
        ("/health", "deep=0&deep=true", 1),
        ("/health/ready", "deep=0", 0),
        ("/health/ready", "", 0),
        ("/health/live", "deep=1", 0),
    ],
)
@in_event_loop
async def test_only_a_readiness_probe_can_be_deep(path: str, query: str, checks: int) -> None:
    health = DeepHealth()
    response = await probe(health, path, query=query)
    assert health.deep_checks == checks
    assert response.status_code == (503 if checks else 200)


@in_event_loop
async def test_a_server_that_is_not_ready_makes_no_deep_check() -> None:
    health = DeepHealth()
    health.attend(SimpleNamespace(errored=True))
    assert (await probe(health, query="deep=1")).status_code == 503
    assert health.deep_checks == 0


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("POST", "/ping", 200), ("POST", "/health", 405), ("DELETE", "/ping", 405)],
)
@in_event_loop
async def test_only_sagemakers_probe_accepts_post(method: str, path: str, code: int) -> None:
    assert (await probe(DeepHealth(), path, method)).status_code == code
