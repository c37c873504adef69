"""The answers that count as wrong, and those that count as disturbed by the clients."""

from __future__ import annotations

import asyncio
import random

from benchmarks.mixed_load import KINDS, Load, counts_table
from tests.support.event_loop import in_event_loop
from tests.support.ports import free_port


def load() -> Load:
    """Return clients of a missing server."""
    return Load(f"http://127.0.0.1:{free_port()}", "key", "model", random.Random(0), burst=3)


def test_kinds_come_as_often_as_their_weight() -> None:
    clients = load()
    weights = {kind: weight for kind, (weight, _) in KINDS.items() if weight}
    dealt = [clients._next() for _ in range(sum(weights.values()))]
    assert {kind: dealt.count(kind) for kind in weights} == weights


@in_event_loop
async def test_a_missing_answer_counts_as_wrong() -> None:
    clients = load()
    async with clients.client:
        await clients.one("models")
    assert clients.wrong == clients.counts()["models"].wrong == clients.done == 1
    assert clients.examples[0].startswith("models: ConnectError")


@in_event_loop
async def test_a_missing_answer_while_the_clients_stalled_does_not_count_as_wrong() -> None:
    clients = load()
    async with clients.client:
        asking = asyncio.create_task(clients.one("models"))
        await asyncio.sleep(0)
        clients.stalled()
        await asking
    assert clients.wrong == 0
    assert clients.counts()["models"].disturbed == 1


@in_event_loop
async def test_counts_are_shown_as_a_table() -> None:
    clients = load()
    async with clients.client:
        await clients.burst()
    head, line = counts_table(clients.counts()).splitlines()
    assert head.split()[:6] == ["request", "sent", "right", "refused", "disturbed", "wrong"]
    assert line.split()[:6] == ["burst", "3", "0", "0", "0", "3"]
