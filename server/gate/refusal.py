"""A request that the gate refuses itself, with an error in OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from starlette.responses import JSONResponse


class ErrorType(StrEnum):
    """An error's ``type``, as in OpenAI's and vLLM's errors."""

    INVALID_REQUEST = "invalid_request_error"
    AUTHENTICATION = "authentication_error"
    PERMISSION = "permission_error"
    NOT_FOUND = "not_found_error"
    TIMEOUT = "timeout_error"
    RATE_LIMIT = "rate_limit_error"
    UNAVAILABLE = "service_unavailable"


class Reason(StrEnum):
    """Why a request was refused, in ``/metrics``, where the error's type is too coarse."""

    STOPPING = "stopping"
    CORS = "cors"
    CONTENT = "content"
    ENCODING = "content-encoding"
    BODY_TOO_LARGE = "body-too-large"
    BODY_TOO_SLOW = "body-too-slow"
    BODIES_FULL = "bodies-full"
    QUEUE_FULL = "queue-full"
    KEY_CONCURRENCY = "key-concurrency"
    KEY_TOKENS = "key-tokens"


def error_body(message: str, error_type: ErrorType, code: int) -> dict[str, Any]:
    """Return an error in the format of OpenAI's API and vLLM."""
    return {"error": {"message": message, "type": error_type, "param": None, "code": code}}


class Refusal(Exception):
    """The gate refuses a request.

    Args:
        status: HTTP status.
        error_type: The error's ``type``.
        message: What is wrong and what to do.
        reason: The label in ``/metrics``; the error's type if not given.
        retry_after: Seconds after which the client may retry.
        close: Whether to close the connection, for example because its body was not read.
        headers: Further headers.
    """

    def __init__(
        self,
        status: int,
        error_type: ErrorType,
        message: str,
        *,
        reason: Reason | None = None,
        retry_after: float | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.reason = reason or error_type
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(max(1, round(retry_after)))
        if close:
            self.headers["connection"] = "close"

    def response(self) -> JSONResponse:
        """Return the answer to the client."""
        body = error_body(self.message, self.error_type, self.status)
        return JSONResponse(body, self.status, self.headers)
