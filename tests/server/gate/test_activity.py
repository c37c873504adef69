"""Stalls and token counts, with a stand-in for vLLM's engine client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from server.gate.activity import EngineActivity, current_ticket
from tests.support.event_loop import in_event_loop


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Core:
    """A stand-in for the engine core's client: a test puts in the steps."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[Any] = asyncio.Queue()

    async def get_output_async(self) -> Any:
        return await self.steps.get()


class Client:
    """A stand-in for vLLM's engine client: a test gives the outputs."""

    def __init__(self, *outputs: Any, refuses: bool = False) -> None:
        self.engine_core = Core()
        self.go = asyncio.Event()
        self.aborted = 0
        self._outputs = outputs
        self._refuses = refuses

    def generate(self, *_args: Any, **_kwargs: Any) -> AsyncGenerator[Any, None]:
        if self._refuses:
            raise ValueError("refused")
        return self._generate()

    encode = generate

    async def _generate(self) -> AsyncGenerator[Any, None]:
        try:
            for output in self._outputs:
                yield output
            await self.go.wait()
        except (GeneratorExit, asyncio.CancelledError):
            self.aborted += 1
            raise


def output(prompt: int, *written: int) -> Any:
    """Return a vLLM output with a prompt's tokens and those of each answer."""
    return SimpleNamespace(
        prompt_token_ids=[0] * prompt,
        outputs=[SimpleNamespace(token_ids=[0] * count) for count in written],
    )


def step(tokens: bool = False, running: int | None = None) -> Any:
    """The output of the engine core after a step."""
    stats = None if running is None else SimpleNamespace(num_running_reqs=running)
    return SimpleNamespace(outputs=[1] if tokens else [], scheduler_stats=stats)


async def ask(client: Client, count: int) -> list[asyncio.Task[None]]:
    """Start requests that wait for the engine."""

    async def one() -> None:
        async for _ in client.generate():
            pass

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(("requests", "stalled"), [(0, 0.0), (1, 0.0), (2, 50.0), (5, 50.0)])
@in_event_loop
async def test_only_several_waiting_requests_are_a_stall(requests: int, stalled: float) -> None:
    clock, client = Clock(), Client()
    activity = EngineActivity(clock)
    activity.watch(client)
    clock.now += 1000  # idle time is not a stall
    tasks = await ask(client, requests)
    clock.now += 50
    assert activity.stalled_seconds() == stalled
    client.go.set()
    await asyncio.gather(*tasks)
    assert activity.stalled_seconds() == 0


@pytest.mark.parametrize(
    ("outputs", "progress"),
    [
        (step(tokens=True), True),
        (step(tokens=True, running=0), True),
        (step(running=2), True),
        (step(running=0), False),
        (step(), False),
    ],
)
@in_event_loop
async def test_a_step_is_progress_if_something_runs(outputs: Any, progress: bool) -> None:
    """A step for part of a long prompt yields no token but is progress; an empty one is not."""
    clock, client = Clock(), Client()
    activity = EngineActivity(clock)
    activity.watch(client)
    tasks = await ask(client, 2)
    clock.now += 50
    client.engine_core.steps.put_nowait(outputs)
    await client.engine_core.get_output_async()
    assert activity.stalled_seconds() == (0 if progress else 50)
    client.go.set()
    await asyncio.gather(*tasks)


@in_event_loop
async def test_tokens_are_counted_once() -> None:
    """The prompt once, with the first output, and the new tokens of each output."""
    spent: list[int] = []
    current_ticket.set(SimpleNamespace(spend=spent.append))
    client = Client(output(7, 1), output(7, 2), output(7, 3, 4))
    EngineActivity().watch(client)
    client.go.set()
    await asyncio.gather(*await ask(client, 1))
    assert spent == [8, 2, 7]


@in_event_loop
async def test_a_pooling_models_output_has_no_written_tokens() -> None:
    spent: list[int] = []
    current_ticket.set(SimpleNamespace(spend=spent.append))
    pooled = SimpleNamespace(prompt_token_ids=[0] * 5, outputs=SimpleNamespace(data=[0.1]))
    client = Client(pooled)
    EngineActivity().watch(client)
    client.go.set()
    await asyncio.gather(*await ask(client, 1))
    assert spent == [5]


@in_event_loop
async def test_a_cancelled_request_is_aborted_and_not_counted() -> None:
    clock, client = Clock(), Client()
    activity = EngineActivity(clock)
    activity.watch(client)
    tasks = await ask(client, 2)
    clock.now += 50
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert client.aborted == 1
    assert activity.stalled_seconds() == 0
    client.go.set()
    await tasks[1]


@in_event_loop
async def test_the_engines_refusal_is_raised_immediately() -> None:
    client = Client(refuses=True)
    EngineActivity().watch(client)
    with pytest.raises(ValueError, match="refused"):
        client.generate()
