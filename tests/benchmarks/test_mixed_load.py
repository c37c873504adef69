"""What counts as wrong, and what as the clients' own doing."""

from __future__ import annotations

import asyncio
import random

from benchmarks.mixed_load import KINDS, Load, counts_table
from tests.support.ports import free_port


def load() -> Load:
    """Clients of a server that is not there."""
    return Load(f"http://127.0.0.1:{free_port()}", "key", "model", random.Random(0), burst=3)


def test_kinds_come_as_often_as_their_weight() -> None:
    clients = load()
    weights = {kind: weight for kind, (weight, _) in KINDS.items() if weight}
    dealt = [clients._next() for _ in range(sum(weights.values()))]
    assert {kind: dealt.count(kind) for kind in weights} == weights


def test_a_missing_answer_counts_as_wrong() -> None:
    async def scenario() -> Load:
        clients = load()
        async with clients.client:
            await clients.one("models")
        return clients

    clients = asyncio.run(scenario())
    assert clients.wrong == clients.counts()["models"].wrong == clients.done == 1
    assert clients.examples[0].startswith("models: ConnectError")


def test_a_missing_answer_while_the_clients_stalled_does_not_count_as_wrong() -> None:
    async def scenario() -> Load:
        clients = load()
        async with clients.client:
            asking = asyncio.create_task(clients.one("models"))
            await asyncio.sleep(0)
            clients.stalled()
            await asking
        return clients

    clients = asyncio.run(scenario())
    assert clients.wrong == 0
    assert clients.counts()["models"].disturbed == 1


def test_counts_are_shown_as_a_table() -> None:
    async def scenario() -> Load:
        clients = load()
        async with clients.client:
            await clients.burst()
        return clients

    head, line = counts_table(asyncio.run(scenario()).counts()).splitlines()
    assert head.split()[:6] == ["request", "sent", "right", "refused", "disturbed", "wrong"]
    assert line.split()[:6] == ["burst", "3", "0", "0", "0", "3"]
