"""Forced tool calls of the demo model, as docs/tool-calls.md shows them, and calls cut short."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic

from tests.support.launch import DEMO, KEY, Launch

PAGE = (Path(__file__).parents[2] / "docs" / "tool-calls.md").read_text()
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "text": {"type": "string"}},
    "required": ["title", "text"],
}


@pytest.fixture(scope="module")
def client(server: Launch) -> Any:
    """Return Anthropic's client, without its types: the tests send what they do not know."""
    return Anthropic(base_url=server.url, auth_token=KEY, max_retries=0)


def test_the_pages_example_returns_arguments_that_match_the_schema(server: Launch) -> None:
    found = re.search(r"curl \S+(/v1/\S+) .*? -d '(.*?)'\n```", PAGE, re.S)
    assert found is not None
    path, body = found.groups()
    answer = httpx2.post(
        f"{server.url}{path}",
        content=body,
        headers={"content-type": "application/json", "authorization": f"Bearer {KEY}"},
        timeout=120,
    )
    (choice,) = answer.json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert (choice["finish_reason"], call["function"]["name"]) == ("tool_calls", "launch")
    assert set(arguments) == {"devices", "offline"}
    assert 1 <= arguments["devices"] <= 8
    assert isinstance(arguments["offline"], bool)


@pytest.mark.parametrize("max_tokens", [3, 12, 24, 40, 60])
@pytest.mark.parametrize("choice", [{"type": "tool", "name": "save"}, {"type": "any"}], ids=str)
def test_a_call_that_is_cut_short_is_a_valid_message_and_a_valid_history(
    client: Any, choice: dict[str, str], max_tokens: int
) -> None:
    asked: list[dict[str, Any]] = [{"role": "user", "content": "What is this?"}]
    how = {
        "model": DEMO,
        "max_tokens": max_tokens,
        "tools": [{"name": "save", "input_schema": SCHEMA, "strict": True}],
        "extra_body": {"temperature": 0},
    }
    message = client.messages.create(**how, messages=asked, tool_choice=choice)
    with client.messages.stream(**how, messages=asked, tool_choice=choice) as stream:
        streamed = stream.get_final_message()
    for each in (message, streamed):
        assert each.stop_reason == "max_tokens"
        blocks = [block.model_dump(exclude_none=True) for block in each.content]
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "cut short"}
            for block in blocks
            if block["type"] == "tool_use"
        ]
        history = [{"role": "assistant", "content": blocks}] if blocks else []
        again = results or [{"type": "text", "text": "Continue."}]
        client.messages.create(
            **how, messages=[*asked, *history, {"role": "user", "content": again}]
        )
