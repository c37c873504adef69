"""Real clients of the API get answers, streams, tool calls, documents and errors as their users
expect them.

A program drives each client, in the client's own environment. ``make test`` runs those that
install light, and ``make test-clients`` the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import pytest

from tests.support.client_programs import Program, Report, full, node, own_python, python, running
from tests.support.launch import Launch

ANSWER = (
    "This is an inference server: it finds the model that MODEL_ID names, checks it, and serves "
    "it with vLLM behind an OpenAI-compatible API."
)


def is_answered(report: Report) -> bool:
    prompt, answer = report["usage"]
    return bool(report["text"] == ANSWER and prompt > 5 and answer > 30)


def is_streamed(report: Report) -> bool:
    pieces = [piece for piece in report["pieces"] if piece]
    prompt, answer = report["usage"]
    return bool("".join(pieces) == ANSWER and len(pieces) > 30 and prompt > 5 and answer > 30)


def is_text(report: Report) -> bool:
    return len(report["text"]) > 5 and "name" not in report


def is_launch(document: object) -> bool:
    """Return whether a document has the schema of tests/clients/inputs.json."""
    return (
        isinstance(document, dict)
        and set(document) == {"accelerator", "shards", "offline"}
        and document["accelerator"] in ("cpu", "cuda")
        and type(document["shards"]) is int
        and document["shards"] in (1, 2, 4)
        and type(document["offline"]) is bool
    )


def is_call(report: Report) -> bool:
    return report.get("name") == "start_server" and is_launch(report["arguments"])


EXPECTED: dict[str, Callable[[Report], bool]] = {
    "chat": is_answered,
    "stream": is_streamed,
    "offered_tool": is_text,
    "strict_tool": is_call,
    "forced_tool": is_call,
    "streamed_tool": is_call,
    "tool_result": is_text,
    "structured": lambda report: is_launch(report["document"]),
}
"""What a client returns in each check that succeeds."""

OPENAI_CODES = {
    "wrong_key": (401, "invalid_api_key"),
    "unknown_model": (404, "model_not_found"),
    "long_prompt": (400, "context_length_exceeded"),
    "invalid_parameter": (400, "invalid_value"),
    "rate_limit": (429, "rate_limit_exceeded"),
}
"""The status and ``error.code`` of each error of OpenAI's API."""

ANTHROPIC_CODES = {
    "wrong_key": (401, "authentication_error"),
    "unknown_model": (404, "not_found_error"),
    "long_prompt": (400, "invalid_request_error"),
    "invalid_parameter": (400, "invalid_request_error"),
    "rate_limit": (429, "rate_limit_error"),
}
"""The status and ``error.type`` of each error of Anthropic's API."""


@dataclass(frozen=True)
class Client:
    """A client, how its program starts, and the exceptions that its users catch."""

    name: str
    command: Callable[[], list[str]]
    exceptions: tuple[str, str, str, str, str]
    """The classes for ``OPENAI_CODES``, in the same order."""
    codes: Mapping[str, tuple[int, str]]
    without: tuple[str, ...] = ()
    """Checks that do not apply."""

    def checks(self) -> list[str]:
        return [check for check in (*EXPECTED, *self.codes) if check not in self.without]

    def error(self, check: str) -> Report:
        """Return what the program reports of the exception in a check."""
        status, code = self.codes[check]
        error = self.exceptions[list(self.codes).index(check)]
        return {"error": error, "status": status, "code": code}


def of_openai(prefix: str, long_prompt: str = "BadRequestError") -> tuple[str, str, str, str, str]:
    """Return the exceptions of OpenAI's clients, which others have too."""
    return (
        f"{prefix}AuthenticationError",
        f"{prefix}NotFoundError",
        f"{prefix}{long_prompt}",
        f"{prefix}BadRequestError",
        f"{prefix}RateLimitError",
    )


PLAIN = ("tests.Refused",) * 5
"""The program itself raises this, without a library."""

LIGHT = (
    Client("anthropic", partial(python, "anthropic"), of_openai("anthropic."), ANTHROPIC_CODES),
    Client("curl", partial(own_python, "curl", "curl"), PLAIN, OPENAI_CODES),
    Client("jdk", partial(own_python, "jdk", "java"), PLAIN, OPENAI_CODES),
    Client("openai", partial(python, "openai"), of_openai("openai."), OPENAI_CODES),
    Client(
        "pydantic-ai",
        partial(python, "pydantic-ai"),
        (
            "pydantic_ai.ModelAuthenticationError",
            "pydantic_ai.ModelNotFoundError",
            "pydantic_ai.ModelContextWindowExceededError",
            "pydantic_ai.ModelRequestRejectedError",
            "pydantic_ai.ModelRateLimitError",
        ),
        OPENAI_CODES,
    ),
)
"""The clients of ``make test``."""

OTHERS = (
    Client(
        "instructor",
        partial(python, "instructor"),
        of_openai("openai."),
        OPENAI_CODES,
        # it offers one tool, forces its call and ends
        without=("offered_tool", "strict_tool", "tool_result"),
    ),
    Client(
        "langchain",
        partial(python, "langchain"),
        (
            "langchain_openai.OpenAIAuthenticationError",
            "langchain_openai.OpenAIModelNotFoundError",
            "langchain_openai.OpenAIContextOverflowError",
            "langchain_openai.OpenAIInvalidRequestError",
            "langchain_openai.OpenAIRateLimitError",
        ),
        OPENAI_CODES,
    ),
    Client(
        "litellm",
        partial(python, "litellm"),
        of_openai("litellm.", long_prompt="ContextWindowExceededError"),
        OPENAI_CODES,
    ),
    Client("llama-index", partial(python, "llama-index"), of_openai("openai."), OPENAI_CODES),
    Client("openai-agents", partial(python, "openai-agents"), of_openai("openai."), OPENAI_CODES),
    Client("node-anthropic", partial(node, "anthropic"), of_openai(""), ANTHROPIC_CODES),
    Client("node-openai", partial(node, "openai"), of_openai(""), OPENAI_CODES),
    Client("node-vercel-ai", partial(node, "vercel_ai"), ("APICallError",) * 5, OPENAI_CODES),
)
"""The clients of ``make test-clients``."""

CASES = [
    pytest.param(client, check, marks=marks, id=f"{client.name}-{check}")
    for clients, marks in ((LIGHT, ()), (OTHERS, pytest.mark.clients))
    for client in clients
    for check in client.checks()
]


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Client:
    """The client of the parameter; its program runs until the next client's turn."""
    chosen: Client = request.param
    return chosen


@pytest.fixture(scope="module")
def program(
    client: Client, server: Launch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    log = tmp_path_factory.mktemp("program") / "log"
    with running(client.command(), server, log) as started:
        yield started


@pytest.mark.parametrize(("client", "check"), CASES, indirect=["client"])
def test_client_gets_what_its_users_expect(
    server: Launch, program: Program, client: Client, check: str
) -> None:
    with full(server) if check == "rate_limit" else nullcontext():
        report = program.report(check)
    if check in EXPECTED:
        assert "error" not in report, report
        assert EXPECTED[check](report), report
    else:
        expected = client.error(check)
        assert {name: report.get(name) for name in expected} == expected, report
