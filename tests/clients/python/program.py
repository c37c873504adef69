"""What the Python programs of the conformance tests share: their requests, and how they report.

A program reads the name of a check from each line of standard input, and writes what its client
returned as a line of JSON. An exception is a report too: the tests compare its class, status and
code with what the users of the client catch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

INPUTS: dict[str, Any] = json.loads(Path(__file__).parents[1].joinpath("inputs.json").read_text())
QUESTION: str = INPUTS["question"]
SCHEMA: dict[str, Any] = INPUTS["schema"]
TOOL: str = INPUTS["tool"]["name"]
DESCRIPTION: str = INPUTS["tool"]["description"]
CALL_ID: str = INPUTS["tool"]["call_id"]
ARGUMENTS: dict[str, Any] = INPUTS["tool"]["arguments"]
RESULT: str = INPUTS["tool"]["result"]
TOKENS: int = INPUTS["max_tokens"]

URL = os.environ["SERVER_URL"]
BASE_URL = f"{URL}/v1"
KEY = os.environ["SERVER_KEY"]
MODEL = os.environ["SERVER_MODEL"]

Choice = Literal["auto", "required", "named"]
Report = Mapping[str, Any]


class start_server(BaseModel):
    """Start the server."""

    model_config = ConfigDict(extra="forbid")

    accelerator: Literal["cpu", "cuda"]
    shards: Literal[1, 2, 4]
    offline: bool


class Client(Protocol):
    """The calls of a client that the conformance tests make."""

    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        """Return the answer's ``text``, and the usage if the client shows it."""

    def stream(self) -> Report:
        """Return the ``pieces`` of a streamed answer, and the usage if the client shows it."""

    def tool(self, choice: Choice) -> Report:
        """Offer a strict tool; return the ``text`` or the ``name`` and ``arguments`` of a call."""

    def streamed_tool(self) -> Report:
        """Require a call of the strict tool in a stream; return its ``name`` and ``arguments``."""

    def tool_result(self) -> Report:
        """Return the ``text`` after the tool's result."""

    def structured(self) -> Report:
        """Return the ``document`` that the schema allows."""


def checks(client: Client) -> dict[str, Callable[[], Report]]:
    long = "word " * INPUTS["long_question_words"]
    return {
        "chat": lambda: client.chat(KEY, MODEL, QUESTION, 0),
        "stream": lambda: client.stream(),
        "offered_tool": lambda: client.tool("auto"),
        "strict_tool": lambda: client.tool("required"),
        "forced_tool": lambda: client.tool("named"),
        "streamed_tool": lambda: client.streamed_tool(),
        "tool_result": lambda: client.tool_result(),
        "structured": lambda: client.structured(),
        "wrong_key": lambda: client.chat(INPUTS["wrong_key"], MODEL, QUESTION, 0),
        "unknown_model": lambda: client.chat(KEY, INPUTS["unknown_model"], QUESTION, 0),
        "long_prompt": lambda: client.chat(KEY, MODEL, long, 0),
        "invalid_parameter": lambda: client.chat(
            KEY, MODEL, QUESTION, INPUTS["invalid_temperature"]
        ),
        "rate_limit": lambda: client.chat(KEY, MODEL, QUESTION, 0),
    }


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first(errors: list[BaseException], *names: str) -> Any:
    """Return the first attribute with one of these names that is set."""
    return next(
        (value for one in errors for name in names if (value := getattr(one, name, None))), None
    )


def code_of(body: object) -> str | None:
    """Return the code of an error of OpenAI's API, or the type of one of Anthropic's."""
    if not isinstance(body, Mapping):
        return None
    error = body.get("error", body)
    code: str | None = error.get("code") or error.get("type")
    return code


def described(error: BaseException) -> Report:
    chain = list(causes(error))
    return {
        "error": f"{type(error).__module__.split('.')[0]}.{type(error).__name__}",
        "status": first(chain, "status_code"),
        "code": code_of(first(chain, "body")),
        "message": str(error)[:1000],
    }


def run(client: Client) -> None:
    """Answer the checks of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no report
    calls = checks(client)
    for line in sys.stdin:
        try:
            report = calls[line.strip()]()
        except Exception as error:
            report = described(error)
        print(json.dumps(report), file=answers, flush=True)
