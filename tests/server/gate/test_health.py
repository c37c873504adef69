"""Ready, alive, and the token of the deep check, with a stand-in for vLLM's engine client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from server.gate import health as health_module
from server.gate.health import Health


class Client:
    """A stand-in for vLLM's engine client: makes a token, or hangs, or fails."""

    def __init__(self, outcome: str = "token", tasks: tuple[str, ...] = ("generate",)):
        self.errored = False
        self.made = 0
        self.ids: set[str] = set()
        self._outcome = outcome
        self._tasks = tasks

    async def get_supported_tasks(self) -> tuple[str, ...]:
        return self._tasks

    async def generate(
        self, prompt: Any, params: Any, request_id: str
    ) -> AsyncGenerator[object, None]:
        self.made += params.max_tokens
        self.ids.add(request_id)
        await asyncio.sleep(0.01)
        if self._outcome == "hang":
            await asyncio.Event().wait()
        if self._outcome == "fail":
            raise RuntimeError("no memory")
        yield object()


def a_health(client: Any = None, stalled: float = 0.0) -> Health:
    health = Health(SimpleNamespace(stalled=lambda: stalled), 60)  # type: ignore[arg-type]
    if client is not None:
        health.attend(client)
    return health


def test_before_the_engine_is_there() -> None:
    assert a_health().not_ready()
    assert a_health().not_alive() is None


def test_all_is_well() -> None:
    health = a_health(Client())
    assert (health.not_ready(), health.not_alive()) == (None, None)


def test_a_stopping_server_is_alive() -> None:
    health = a_health(Client())
    health.stopping = True
    assert health.not_ready() == "the server is stopping"
    assert health.not_alive() is None


def test_a_dead_engine() -> None:
    client = Client()
    client.errored = True
    health = a_health(client)
    assert health.not_ready() == health.not_alive() == "the engine is dead"


@pytest.mark.parametrize(
    ("stalled", "ready", "alive"),
    [(59.9, True, True), (60.0, False, True), (119.9, False, True), (120.0, False, False)],
)
def test_a_stall_first_keeps_requests_away(stalled: float, ready: bool, alive: bool) -> None:
    health = a_health(Client(), stalled)
    assert (health.not_ready() is None) == ready
    assert (health.not_alive() is None) == alive


class TestDeep:
    def test_a_token(self) -> None:
        client = Client()
        assert asyncio.run(a_health(client).fails_deep()) is None
        assert client.made == 1

    def test_many_at_once_are_one(self) -> None:
        async def scenario() -> None:
            client = Client()
            health = a_health(client)
            assert set(await asyncio.gather(*(health.fails_deep() for _ in range(50)))) == {None}
            assert client.made == 1
            await health.fails_deep()
            assert len(client.ids) == 2

        asyncio.run(scenario())

    def test_one_who_leaves_does_not_stop_the_others(self) -> None:
        async def scenario() -> None:
            health = a_health(Client())
            leaves = asyncio.create_task(health.fails_deep())
            stays = asyncio.create_task(health.fails_deep())
            await asyncio.sleep(0)
            leaves.cancel()
            assert await stays is None

        asyncio.run(scenario())

    def test_none_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health_module, "DEEP_SECONDS", 0.02)
        trouble = asyncio.run(a_health(Client("hang")).fails_deep())
        assert trouble
        assert "no token within" in trouble

    def test_an_error(self) -> None:
        assert asyncio.run(a_health(Client("fail")).fails_deep()) == (
            "the engine made no token: no memory"
        )

    def test_a_model_that_makes_no_tokens(self) -> None:
        client = Client(tasks=("embed",))
        assert asyncio.run(a_health(client).fails_deep()) is None
        assert client.made == 0
