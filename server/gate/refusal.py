"""A request that the gate refuses itself, with an error in the format of the API called."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from starlette.responses import JSONResponse

from entrypoint.shared.api_errors import TOKEN_LIMIT, Api, Kind, error_body, kind_of_status


class ErrorType(StrEnum):
    """Why a request was refused, in ``/metrics``, if no :class:`Reason` is more exact."""

    INVALID_REQUEST = "invalid_request_error"
    AUTHENTICATION = "authentication_error"
    PERMISSION = "permission_error"
    NOT_FOUND = "not_found_error"
    TIMEOUT = "timeout_error"
    RATE_LIMIT = "rate_limit_error"
    UNAVAILABLE = "service_unavailable"


class Reason(StrEnum):
    """Why a request was refused, in ``/metrics``, where its type is too coarse."""

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


class Refusal(Exception):
    """The gate refuses a request.

    Args:
        status: HTTP status.
        error_type: The label in ``/metrics`` if no ``reason`` is given.
        message: What is wrong and what to do.
        reason: The label in ``/metrics``.
        kind: The kind of error that the client gets; what the status means if not given.
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
        kind: Kind | None = None,
        retry_after: float | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason or error_type
        if kind is None:
            kind = TOKEN_LIMIT if reason is Reason.KEY_TOKENS else kind_of_status(status)
        self.kind = kind
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(max(1, round(retry_after)))
        if close:
            self.headers["connection"] = "close"

    def response(self, api: Api = Api.OPENAI, request_id: str | None = None) -> JSONResponse:
        """Return the answer to the client.

        Args:
            api: The API that it called.
            request_id: The request's id.
        """
        body = error_body(api, self.kind, self.message, request_id=request_id)
        return JSONResponse(body, self.status, self.headers)
