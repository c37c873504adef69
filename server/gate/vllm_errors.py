"""Reads the errors of vLLM and its web framework, to answer them in the format of the API called.

vLLM 0.32 has several formats: its own, where ``code`` is the HTTP status, Anthropic's with its own
types, FastAPI's ``detail``, and plain text. Clients look for other types, and codes that are words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from http.client import responses
from typing import Any

from entrypoint.shared import api_errors
from entrypoint.shared.api_errors import Kind, kind_of_status

NO_ROUTE = "Not Found"
"""The message of the web framework's 404."""

_BAD_BODY = "There was an error parsing the body"
"""FastAPI's message about a body that is not UTF-8."""

_CONTEXT = re.compile(
    r"maximum context length|max_model_len|maximum model length|context length \(", re.IGNORECASE
)
_PARAMETER = re.compile(r"\(parameter=(?P<name>[\w.]+)[,)]")
_LONG_PROMPT = re.compile(r"your prompt contains|prompt \(length")
TOO_LONG = "The prompt is too long. "
"""Clients of Anthropic's API, and LangChain, look for these words to shorten a conversation."""

_MODEL = re.compile(r"^The model `.*` does not exist", re.DOTALL)
_RESPONSE = re.compile(r"^Response with id ")
_MEDIA_TYPE = re.compile(r"Unsupported Media Type", re.IGNORECASE)
_PYDANTIC = re.compile(r"'type': '(?P<own>\w+)'|\[type=(?P<raised>\w+)[,\]]")
"""The first type of problem in a message about a validation, in both of pydantic's notations."""
_PYDANTICS_OWN = re.compile(
    r" \[type=\w+, input_value=.*?, input_type=\w+\]|\n +For further information visit \S+"
)
"""What pydantic adds to each problem for the authors of the program."""


@dataclass(frozen=True, slots=True)
class VllmError:
    """An error of vLLM.

    Attributes:
        kind: Which error it is.
        message: What is wrong.
        param: The parameter that is wrong, if known.
    """

    kind: Kind
    message: str
    param: str | None = None


def read_error(status: int, body: bytes) -> VllmError:
    """Return the error that an answer of vLLM reports.

    Args:
        status: The answer's HTTP status.
        body: The answer's body.
    """
    message, param = _message(body)
    return describe(status, message or responses.get(status, f"Status {status}"), param)


def describe(status: int, message: str, param: str | None = None) -> VllmError:
    """Return an error by its status, message and parameter.

    Args:
        status: The HTTP status that it has, or that it has in a stream.
        message: vLLM's message.
        param: vLLM's parameter.
    """
    if param is None and (named := _PARAMETER.search(message)):
        param = named["name"]  # vLLM's errors on /v1/messages have it only in the message
    if param is not None:
        # FastAPI counts from the request, clients from the body
        param = param.removeprefix("body").removeprefix(".") or None
    if status == HTTPStatus.NOT_FOUND:
        return _not_found(message, param)
    if status != HTTPStatus.BAD_REQUEST:
        return VllmError(kind_of_status(status), message, param)
    if message == _BAD_BODY:
        return VllmError(api_errors.INVALID_JSON, "The body is not JSON in UTF-8.")
    if _MEDIA_TYPE.search(message):
        text = "The body's Content-Type must be application/json."
        return VllmError(api_errors.MEDIA_TYPE, text)
    if param == "input_tokens" or _CONTEXT.search(message):
        prefix = TOO_LONG if _LONG_PROMPT.search(message) else ""
        return VllmError(api_errors.CONTEXT_LENGTH, prefix + message, param)
    problem = _PYDANTIC.search(message)
    if problem:
        kind = _kind_of_validation(problem["own"] or problem["raised"])
        if problem["raised"]:
            message = _PYDANTICS_OWN.sub("", message)
        return VllmError(kind, message, None if kind is api_errors.INVALID_JSON else param)
    return VllmError(
        api_errors.INVALID_REQUEST if param is None else api_errors.INVALID_VALUE, message, param
    )


def _not_found(message: str, param: str | None) -> VllmError:
    if param == "model" or _MODEL.search(message):
        return VllmError(api_errors.MODEL_NOT_FOUND, message, "model")
    if _RESPONSE.search(message):
        return VllmError(api_errors.RESPONSE_NOT_FOUND, message, param)
    if message == NO_ROUTE:
        return VllmError(api_errors.UNKNOWN_URL, message, param)
    return VllmError(api_errors.NOT_FOUND, message, param)


def _kind_of_validation(problem: str) -> Kind:
    if problem == "json_invalid":
        return api_errors.INVALID_JSON
    if problem.startswith("missing"):
        return api_errors.MISSING_PARAMETER
    if problem.endswith(("_type", "_parsing", "_from_float")):
        return api_errors.INVALID_TYPE
    return api_errors.INVALID_VALUE


def _message(body: bytes) -> tuple[str, str | None]:
    """Return the message and the parameter of an answer's body, empty and None if unknown."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        # a document of unknown format would only confuse; text is for people
        return ("" if body[:1] in b"{[<" else body.decode(errors="replace").strip()), None
    if not isinstance(document, dict):
        return (document, None) if isinstance(document, str) else ("", None)
    error = document.get("error", document)
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return "", None
    message = error.get("message", error.get("detail"))
    if isinstance(message, list):  # FastAPI's validation errors
        message = "; ".join(_validation(each) for each in message)
    param = error.get("param")
    return (
        message if isinstance(message, str) else "",
        param if isinstance(param, str) else None,
    )


def _validation(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    place = ".".join(str(part) for part in error.get("loc", ()))
    return f"{place}: {error.get('msg', '')}"
