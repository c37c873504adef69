"""The page about tool calls, compared with the installed vLLM."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionToolsParam
from vllm.tool_parsers.structural_tag_registry import resolve_tool_strictness
from vllm.tool_parsers.tool_strict_level import ToolStrictLevel

PAGE = (Path(__file__).parents[2] / "docs" / "tool-calls.md").read_text()
ROWS = re.findall(r'^\| (`"\w+"`.*?) \| (yes|no) \| (.*?) \| (.*?) \| (.*?) \|$', PAGE, re.M)
LEVELS = list(ToolStrictLevel)


def enforced(choice: str, strict: bool, level: ToolStrictLevel) -> str:
    """Return what vLLM enforces, in the words of the page."""
    function: dict[str, Any] = {"name": "f", "parameters": {}, "strict": strict}
    tool = ChatCompletionToolsParam.model_validate({"type": "function", "function": function})
    resolved = resolve_tool_strictness([tool], choice, level)
    if resolved is None:
        return "nothing"
    return "form and arguments" if resolved[0].function.strict else "form"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:2]))
def test_the_table_shows_what_vllm_enforces(row: tuple[str, ...]) -> None:
    choice, strict, *cells = row
    for level, cell in zip(LEVELS, cells, strict=True):
        assert enforced(json.loads(choice.split("`")[1]), strict == "yes", level) == cell


def test_the_table_has_every_case() -> None:
    assert len(ROWS) == 4
