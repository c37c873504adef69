"""docs/clients.md: each example runs as it is printed, and gets its answers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client_programs import ENVIRONMENTS, NODE, OFFLINE, installed
from tests.support.deploy_tools import tool
from tests.support.launch import KEY, ROOT, Launch

PAGE = ROOT / "docs/clients.md"
EXAMPLE = re.compile(
    r"^## (?P<client>.+)\n(?:(?!^#).*\n)*?```(?P<language>\w+)\n(?P<code>(?:.*\n)*?)```",
    re.MULTILINE,
)
ANSWER = "This is an inference server: it finds the model"
FIELD = re.compile(r"shards\W{1,6}\d+")
"""The field of a call or a document, as each client prints it."""


def with_python(environment: str) -> Callable[[str, Path], list[str]]:
    def command(code: str, folder: Path) -> list[str]:
        (folder / "example.py").write_text(code)
        interpreter = installed(ENVIRONMENTS / environment / "bin/python")
        return [str(interpreter), str(folder / "example.py")]

    return command


def with_node(code: str, folder: Path) -> list[str]:
    installed(NODE / "node_modules")
    return [str(installed(ENVIRONMENTS / "node/bin/node")), "--input-type=module", "--eval", code]


def with_java(code: str, folder: Path) -> list[str]:
    (folder / "Ask.java").write_text(code)
    return [tool("java"), str(folder / "Ask.java")]


def with_shell(code: str, folder: Path) -> list[str]:
    tool("curl")
    return ["sh", "-euc", code]


LIGHT = {
    "OpenAI for Python": with_python("openai"),
    "Anthropic for Python": with_python("anthropic"),
    "Pydantic AI": with_python("pydantic-ai"),
    "curl": with_shell,
    "Java": with_java,
}
OTHERS = {
    "LangChain": with_python("langchain"),
    "LiteLLM": with_python("litellm"),
    "LlamaIndex": with_python("llama-index"),
    "Instructor": with_python("instructor"),
    "OpenAI Agents": with_python("openai-agents"),
    "OpenAI for JavaScript": with_node,
    "Anthropic for JavaScript": with_node,
    "Vercel's AI SDK": with_node,
}
WITHOUT_FIELDS = ("curl", "Java")
"""Examples that only ask a question."""


def examples() -> dict[str, str]:
    """Return the code of the page, by the client of its section."""
    return {match["client"]: match["code"] for match in EXAMPLE.finditer(PAGE.read_text())}


def test_the_page_has_an_example_for_each_client() -> None:
    assert list(examples()) == [*LIGHT, *OTHERS]


@pytest.mark.parametrize(
    "client",
    [*LIGHT, *(pytest.param(client, marks=pytest.mark.clients) for client in OTHERS)],
)
def test_an_example_gets_its_answers(client: str, server: Launch, tmp_path: Path) -> None:
    code = examples()[client]
    assert "http://127.0.0.1:8000" in code
    assert "one-key" in code
    code = code.replace("http://127.0.0.1:8000", server.url).replace("one-key", KEY)
    done = subprocess.run(
        {**LIGHT, **OTHERS}[client](code, tmp_path),
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **OFFLINE},
        cwd=NODE,  # where Node.js finds the packages
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ANSWER in done.stdout
    fields = FIELD.findall(done.stdout)
    assert len(fields) == (0 if client in WITHOUT_FIELDS else 2), done.stdout
