"""Readiness, liveness, and the deep check, with a stand-in for vLLM's engine client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from entrypoint.shared.health import HealthState
from server.gate import health as health_module
from server.gate.health import ALIVE, DEAD, READY, STARTING, STOPPING, Health
from tests.support.event_loop import in_event_loop


class Client:
    """A stand-in for vLLM's engine client: generates a token, hangs, or fails."""

    def __init__(self, outcome: str = "token", tasks: tuple[str, ...] = ("generate",)):
        self.errored = False
        self.generated = 0
        self.ids: set[str] = set()
        self._outcome = outcome
        self._tasks = tasks

    async def get_supported_tasks(self) -> tuple[str, ...]:
        return self._tasks

    async def generate(
        self, prompt: Any, params: Any, request_id: str
    ) -> AsyncGenerator[object, None]:
        self.generated += params.max_tokens
        self.ids.add(request_id)
        await asyncio.sleep(0.01)
        if self._outcome == "hang":
            await asyncio.Event().wait()
        if self._outcome == "fail":
            raise RuntimeError("no memory")
        yield object()


def a_health(client: Any = None, stalled: float = 0.0) -> Health:
    health = Health(SimpleNamespace(stalled_seconds=lambda: stalled), 60)  # type: ignore[arg-type]
    if client is not None:
        health.attend(client)
    return health


def test_a_starting_server_is_alive_but_not_ready() -> None:
    health = a_health()
    assert (health.readiness(), health.liveness()) == (STARTING, ALIVE)


def test_a_working_server_is_ready_and_alive() -> None:
    health = a_health(Client())
    assert (health.readiness(), health.liveness()) == (READY, ALIVE)


def test_a_stopping_server_is_alive_but_not_ready() -> None:
    health = a_health(Client())
    health.stopping = True
    assert (health.readiness(), health.liveness()) == (STOPPING, ALIVE)


def test_with_a_dead_engine_the_server_is_neither_ready_nor_alive() -> None:
    client = Client()
    client.errored = True
    health = a_health(client)
    assert (health.readiness(), health.liveness()) == (DEAD, DEAD)


@pytest.mark.parametrize(
    ("stalled", "ready", "alive"),
    [(59.9, True, True), (60.0, False, True), (119.9, False, True), (120.0, False, False)],
)
def test_a_stall_ends_readiness_first_and_liveness_later(
    stalled: float, ready: bool, alive: bool
) -> None:
    health = a_health(Client(), stalled)
    assert health.readiness().state is (HealthState.HEALTHY if ready else HealthState.STALLED)
    assert health.liveness().state is (HealthState.HEALTHY if alive else HealthState.STALLED)


def test_the_text_of_a_stall_contains_its_seconds() -> None:
    assert "no token for 75 s" in a_health(Client(), 75.0).readiness().text


class TestDeepReadiness:
    @in_event_loop
    async def test_an_engine_that_generates_a_token_is_ready(self) -> None:
        client = Client()
        assert await a_health(client).deep_readiness() == READY
        assert client.generated == 1

    @in_event_loop
    async def test_concurrent_checks_share_one_token(self) -> None:
        client = Client()
        health = a_health(client)
        verdicts = await asyncio.gather(*(health.deep_readiness() for _ in range(50)))
        assert set(verdicts) == {READY}
        assert client.generated == 1
        await health.deep_readiness()
        assert len(client.ids) == 2

    @in_event_loop
    async def test_a_client_that_leaves_does_not_stop_the_others(self) -> None:
        health = a_health(Client())
        leaves = asyncio.create_task(health.deep_readiness())
        stays = asyncio.create_task(health.deep_readiness())
        await asyncio.sleep(0)
        leaves.cancel()
        assert await stays == READY

    @in_event_loop
    async def test_an_engine_that_hangs_is_not_ready(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health_module, "DEEP_SECONDS", 0.02)
        verdict = await a_health(Client("hang")).deep_readiness()
        assert verdict.state is HealthState.NO_TOKEN
        assert "no token within" in verdict.text

    @in_event_loop
    async def test_an_engine_that_fails_is_not_ready(self) -> None:
        verdict = await a_health(Client("fail")).deep_readiness()
        assert verdict.state is HealthState.NO_TOKEN
        assert verdict.text == "the engine generated no token: no memory"

    @in_event_loop
    async def test_a_model_that_generates_no_text_is_not_asked_for_a_token(self) -> None:
        client = Client(tasks=("embed",))
        assert await a_health(client).deep_readiness() == READY
        assert client.generated == 0
