"""A client's mistake stays out of the log; a fault of the server does not."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from jinja2 import TemplateError
from vllm.exceptions import VLLMNotFoundError, VLLMValidationError

from server.gate.mistakes import described, is_mistake, keep_out_of_log


def wrapped(error: Exception) -> RuntimeError:
    """Return Starlette's error about an exception in a stream."""
    outer = RuntimeError("Caught handled exception, but response already started.")
    outer.__cause__ = error
    return outer


def raised_from(cause: Exception) -> RuntimeError:
    outer = RuntimeError("the server's own")
    outer.__cause__ = cause
    return outer


MISTAKES = [
    VLLMValidationError("n", parameter="n", value=3),
    VLLMNotFoundError("no"),
    ValueError("bad grammar"),
    TemplateError("roles must alternate"),
    wrapped(ValueError("bad grammar")),
]
FAULTS = [
    TypeError("unsupported operand"),
    AttributeError("text"),
    KeyError("x"),
    RuntimeError("engine"),
    raised_from(ValueError("inner")),
    wrapped(KeyError("x")),
]


@pytest.mark.parametrize("error", MISTAKES, ids=repr)
def test_a_mistake_is_what_vllm_answers_below_500(error: Exception) -> None:
    assert is_mistake(error)
    assert described(error)[1] < 500


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_a_fault_is_not_a_mistake(error: Exception) -> None:
    assert not is_mistake(error)


def test_the_client_gets_to_know_the_exception_in_a_stream() -> None:
    error, status = described(wrapped(VLLMValidationError("bad n", parameter="n")))
    assert (error.kind.code, error.param, status) == ("invalid_value", "n", 400)
    assert "bad n" in error.message


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What reaches the log, with a handler as vLLM sets it up."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    parents = [logging.getLogger("vllm"), logging.getLogger("uvicorn")]
    for logger in parents:
        logger.addHandler(handler)
    keep_out_of_log()
    yield output
    for logger in parents:
        logger.removeHandler(handler)


def log_exception(name: str, message: str, error: Exception) -> None:
    try:
        raise error
    except Exception:
        logging.getLogger(name).exception(message)


LOGGERS = [
    "vllm.entrypoints.anthropic.api_router",
    "vllm.entrypoints.openai.chat_completion.serving",
    "uvicorn.error",
]


@pytest.mark.parametrize("name", LOGGERS)
def test_mistakes_are_not_logged_by_vllm_and_uvicorn(name: str, log: io.StringIO) -> None:
    log_exception(name, "Error", ValueError("bad grammar"))
    assert log.getvalue() == ""


@pytest.mark.parametrize("name", LOGGERS)
def test_faults_keep_their_traceback(name: str, log: io.StringIO) -> None:
    log_exception(name, "Error", KeyError("x"))
    assert "Traceback" in log.getvalue()


def test_other_lines_are_logged(log: io.StringIO) -> None:
    logging.getLogger("vllm.entrypoints.x").warning("Error with %s", "something else")
    log_exception("vllm.engine", "the engine's own", ValueError("x"))
    assert "something else" in log.getvalue()
    assert "Traceback" in log.getvalue()


def test_what_a_model_has_not_finished_is_logged_on_one_line(log: io.StringIO) -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads('{"a')
    log_exception("vllm.tool_parsers.hermes_tool_parser", "Error in parser.", raised.value)
    (line,) = log.getvalue().splitlines()
    assert line.startswith("Error in parser. JSONDecodeError: Unterminated string")


def test_the_lines_about_mistakes_are_those_that_vllm_logs(log: io.StringIO) -> None:
    logger = logging.getLogger("vllm.entrypoints.openai.chat_completion.serving")
    logger.error("Error with model %s", "x")
    uvicorn_line = "ASGI callable returned without completing handshake."
    logging.getLogger("uvicorn.error").error(uvicorn_line)
    logging.getLogger("vllm.renderers.hf").warning("Chat template rejected the request: %s", "x")
    assert log.getvalue() == ""
