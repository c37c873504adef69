"""The paths that the runtime adds to vLLM's server."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from vllm.plugins.endpoint_plugins.interface import EndpointPlugin
from vllm.v1.engine.exceptions import EngineDeadError

from server import endpoints
from server.endpoints import Endpoints


class Engine:
    """A stand-in for vLLM's engine client: alive or dead as told."""

    def __init__(self, dead: bool):
        self.dead = dead

    async def check_health(self) -> None:
        if self.dead:
            raise EngineDeadError


def client(dead: bool = False) -> TestClient:
    app = FastAPI()
    app.state.engine_client = Engine(dead)
    Endpoints().attach_router(app)
    return TestClient(app)


def test_it_is_a_plugin() -> None:
    assert isinstance(Endpoints(), EndpointPlugin)


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(("dead", "code"), [(False, 200), (True, 503)])
def test_ready(prefix: str, dead: bool, code: int) -> None:
    assert client(dead).get(f"{prefix}/health/ready").status_code == code


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_live_even_with_a_dead_engine(prefix: str) -> None:
    assert client(dead=True).get(f"{prefix}/health/live").status_code == 200


def test_status_outside_a_launch() -> None:
    assert client().get("/v1/status").json() == {"phase": "ready"}


def test_status_of_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    document: dict[str, Any] = {"phase": "ready", "seconds": 1.0}
    monkeypatch.setattr(endpoints, "read_status", lambda: document)
    assert client().get("/v1/status").json() == document


def test_the_state_is_the_last_step_before_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(endpoints, "report", reported.append)
    asyncio.run(Endpoints().init_state(None, SimpleNamespace(), SimpleNamespace()))  # type: ignore[arg-type]
    assert reported == ["ready"]
