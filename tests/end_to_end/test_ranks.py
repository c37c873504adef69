"""Several ranks and several API servers give the same text as one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.launch import DEMO, DEMO_CACHE, KEY, Launch, environment

QUESTIONS = [
    "What is this?",
    "What does NUM_SHARD do?",
    "Which variable names the model?",
    "What does ARG do?",
    "Tell me about the weather in Paris on a rainy day in spring.",
]


def answers(launch: Launch, key: str | None = None) -> list[str]:
    return [launch.chat(q, DEMO, key)["choices"][0]["message"]["content"] for q in QUESTIONS]


@pytest.fixture(scope="module")
def by_one_rank(server: Launch) -> list[str]:
    return answers(server, KEY)


def test_two_ranks_give_the_same_text(home: Path, by_one_rank: list[str]) -> None:
    launch = Launch(
        environment(
            home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE), DTYPE="float32", NUM_SHARD="2"
        ),
        home / "ranks.log",
    )
    try:
        assert answers(launch.until_ready()) == by_one_rank
    finally:
        assert launch.stop() == 0, launch.tail()
    assert "world size 2" in launch.log.read_text()


def test_two_api_servers_give_the_same_text(home: Path, by_one_rank: list[str]) -> None:
    launch = Launch(
        environment(
            home,
            MODEL_ID=DEMO,
            HF_HUB_CACHE=str(DEMO_CACHE),
            DTYPE="float32",
            ARG="--data-parallel-size 2 --api-server-count 2",
        ),
        home / "servers.log",
    )
    try:
        assert answers(launch.until_ready()) == by_one_rank
        assert json.loads(launch.ask("/v1/status")[2])["phase"] == "ready"
        # each connection may reach either server
        assert {launch.ask("/scale_elastic_ep", b"{}")[0] for _ in range(20)} == {403}
    finally:
        assert launch.stop() == 0, launch.tail()
    log = launch.log.read_text()
    assert "ApiServer_0" in log
    assert "ApiServer_1" in log
