"""Errors in the format of the API that was called.

The gate and the server that answers during the start both send them. :data:`KINDS` lists every kind
of error; ``docs/errors.md`` is generated from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Api(StrEnum):
    """An API, by the format of its errors."""

    OPENAI = "OpenAI"
    RESPONSES = "OpenAI Responses"
    """Differs from :data:`OPENAI` only in the error event of a stream."""
    ANTHROPIC = "Anthropic"
    COHERE = "Cohere"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of error, as each API names it.

    Attributes:
        statuses: The HTTP statuses that it comes with, the usual one first.
        code: ``code`` in OpenAI's format, ``details.error_code`` in Anthropic's.
        openai: ``type`` in OpenAI's format.
        anthropic: ``type`` in Anthropic's format.
        when: When a client gets it.
    """

    statuses: tuple[int, ...]
    code: str
    openai: str
    anthropic: str
    when: str


_INVALID = "invalid_request_error"
_SERVER = "server_error"


def _invalid(status: int, code: str, when: str, *more: int) -> Kind:
    return Kind((status, *more), code, _INVALID, _INVALID, when)


INVALID_REQUEST = _invalid(400, "invalid_request_error", "The request is wrong in another way")
INVALID_JSON = _invalid(400, "invalid_json", "The body is not JSON in UTF-8")
INVALID_TYPE = _invalid(400, "invalid_type", "A parameter has the wrong type")
INVALID_VALUE = _invalid(400, "invalid_value", "A parameter has a value that is not allowed")
MISSING_PARAMETER = _invalid(400, "missing_required_parameter", "A parameter is missing")
CONTEXT_LENGTH = _invalid(
    400,
    "context_length_exceeded",
    "The prompt, or the prompt with `max_tokens`, is longer than the model's context",
)
INVALID_KEY = Kind(
    (401,), "invalid_api_key", _INVALID, "authentication_error", "The key is missing or wrong"
)
PERMISSION = Kind(
    (403,),
    "permission_denied",
    "permission_error",
    "permission_error",
    "The route is closed: the operator has not turned it on",
)
MODEL_NOT_FOUND = Kind(
    (404,),
    "model_not_found",
    _INVALID,
    "not_found_error",
    "`model` names neither the model nor an adapter",
)
RESPONSE_NOT_FOUND = Kind(
    (404,),
    "response_not_found",
    _INVALID,
    "not_found_error",
    "No response with this id is stored",
)
PREVIOUS_RESPONSE_NOT_FOUND = Kind(
    (404,),
    "previous_response_not_found",
    _INVALID,
    "not_found_error",
    "`previous_response_id` names no stored response",
)
UNKNOWN_URL = Kind(
    (404,),
    "unknown_url",
    _INVALID,
    "not_found_error",
    "The server, or the model that it has loaded, has no such route",
)
NOT_FOUND = Kind(
    (404,), "not_found", _INVALID, "not_found_error", "Something else that the request names"
)
METHOD = _invalid(405, "method_not_supported", "The route does not have this method")
TIMEOUT = Kind(
    (408,), "request_timeout", "timeout_error", "timeout_error", "The request arrived too slowly"
)
CONFLICT = _invalid(409, "conflict", "The request contradicts the server's state")
TOO_LARGE = Kind(
    (413,),
    "request_too_large",
    _INVALID,
    "request_too_large",
    "The body is larger than `MAX_REQUEST_BYTES`",
)
MEDIA_TYPE = _invalid(
    415, "unsupported_media_type", "The body's `Content-Type` or `Content-Encoding`", 400
)
UNPROCESSABLE = _invalid(
    422, "unprocessable_entity", "The server cannot use a file that the request names"
)
RATE_LIMIT = Kind(
    (429,),
    "rate_limit_exceeded",
    "requests",
    "rate_limit_error",
    "A limit on requests is reached; see `Retry-After`",
)
TOKEN_LIMIT = Kind(
    (429,),
    "rate_limit_exceeded",
    "tokens",
    "rate_limit_error",
    "The key has used up its `MAX_TOKENS_PER_MINUTE_PER_KEY`; see `Retry-After`",
)
UPGRADE = _invalid(426, "upgrade_required", "The route is a WebSocket")
HEADERS = _invalid(431, "request_header_fields_too_large", "The request's head is too large")
SERVER = Kind(
    (500,),
    "server_error",
    _SERVER,
    "api_error",
    "The server failed; its log has the cause, with the request's id",
)
NOT_IMPLEMENTED = Kind(
    (501,),
    "not_implemented",
    _SERVER,
    "api_error",
    "vLLM does not implement this for the model, or the server this method or `Transfer-Encoding`",
)
UNAVAILABLE = Kind(
    (503,),
    "service_unavailable",
    _SERVER,
    "overloaded_error",
    "The server is loading the model, or is stopping; see `Retry-After`",
)
HTTP_VERSION = _invalid(505, "http_version_not_supported", "The request is not HTTP/1.1 or 1.0")

KINDS = (
    INVALID_JSON,
    MISSING_PARAMETER,
    INVALID_TYPE,
    INVALID_VALUE,
    CONTEXT_LENGTH,
    INVALID_REQUEST,
    INVALID_KEY,
    PERMISSION,
    MODEL_NOT_FOUND,
    RESPONSE_NOT_FOUND,
    PREVIOUS_RESPONSE_NOT_FOUND,
    UNKNOWN_URL,
    NOT_FOUND,
    METHOD,
    TIMEOUT,
    CONFLICT,
    TOO_LARGE,
    MEDIA_TYPE,
    UNPROCESSABLE,
    RATE_LIMIT,
    TOKEN_LIMIT,
    UPGRADE,
    HEADERS,
    SERVER,
    NOT_IMPLEMENTED,
    UNAVAILABLE,
    HTTP_VERSION,
)
"""Every kind of error that leaves the server."""

_OF_STATUS = {
    400: INVALID_REQUEST,
    404: NOT_FOUND,
    429: RATE_LIMIT,
    **{kind.statuses[0]: kind for kind in KINDS if kind.statuses[0] not in (400, 404, 429)},
}

STOPPING = "The server is stopping. Use another server, or retry after it has restarted."


def kind_of_status(status: int) -> Kind:
    """Return the kind of error that a status means if nothing else is known."""
    found = _OF_STATUS.get(status)
    if found is not None:
        return found
    return SERVER if status >= 500 else INVALID_REQUEST


def api_of(path: str, headers: Mapping[str, str]) -> Api:
    """Return the API that a request uses.

    Anthropic's clients send ``anthropic-version`` on every path, also on those that OpenAI's API
    has too, such as ``/v1/models``.

    Args:
        path: The request's path, without the root path.
        headers: The request's headers, with names in lower case.
    """
    path = path.removesuffix("/")
    if _is_below("/v1/messages", path) or "anthropic-version" in headers:
        return Api.ANTHROPIC
    if _is_below("/v1/responses", path):
        return Api.RESPONSES
    if _is_below("/cohere", path) or path in ("/v2/embed", "/v2/rerank"):
        return Api.COHERE
    return Api.OPENAI


def _is_below(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def error_body(
    api: Api,
    kind: Kind,
    message: str,
    *,
    param: str | None = None,
    request_id: str | None = None,
    **details: str,
) -> dict[str, Any]:
    """Return the body of an error.

    Args:
        api: The API that was called.
        kind: The kind of error.
        message: What is wrong and what to do.
        param: The parameter that is wrong.
        request_id: The request's id, for the APIs whose errors contain it.
        details: Further fields of the error.
    """
    match api:
        case Api.ANTHROPIC:
            error = {
                "type": kind.anthropic,
                "message": message,
                "details": {"error_code": kind.code},
                **details,
            }
            return {"type": "error", "error": error, "request_id": request_id}
        case Api.COHERE:
            return {"id": request_id, "message": message, **details}
    return {
        "error": {
            "message": message,
            "type": kind.openai,
            "param": param,
            "code": kind.code,
            **details,
        }
    }


def error_event(
    api: Api,
    kind: Kind,
    message: str,
    *,
    param: str | None = None,
    request_id: str | None = None,
    sequence_number: int = 0,
) -> bytes:
    """Return the event that reports an error in a stream whose answer has started.

    Args:
        api: The API that was called.
        kind: The kind of error.
        message: What is wrong and what to do.
        param: The parameter that is wrong.
        request_id: The request's id.
        sequence_number: The event's number, for a stream of the Responses API.
    """
    body = error_body(api, kind, message, param=param, request_id=request_id)
    name = b""
    if api is Api.RESPONSES:
        # the documented event has these fields on its top level; OpenAI's clients raise an error
        # only for an event with `error`
        fields = {"code": kind.code, "message": message, "param": param}
        body = {"type": "error", **fields, "sequence_number": sequence_number, **body}
    if api in (Api.RESPONSES, Api.ANTHROPIC):
        name = b"event: error\n"
    return name + b"data: " + json.dumps(body).encode() + b"\n\n"
