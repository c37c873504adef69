"""A request that the gate answers itself, in the words of OpenAI's errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.types import Send

Header = tuple[bytes, bytes]


def error_body(message: str, kind: str, code: int) -> dict[str, Any]:
    """Return an error as OpenAI's API and vLLM word one."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Refusal(Exception):
    """Why a request is not passed on.

    Args:
        status: HTTP status.
        kind: The error's ``type``.
        message: What is wrong, and what to do.
        reason: What the metrics call it; the error's type, unless it says more.
        retry_after: Seconds after which the client may ask again.
        close: Whether the connection is of no more use.
        headers: Further headers.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        close: bool = False,
        headers: Sequence[Header] = (),
    ):
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.reason = reason or kind
        self.headers = list(headers)
        if retry_after is not None:
            self.headers.append((b"retry-after", b"%d" % max(1, round(retry_after))))
        if close:
            self.headers.append((b"connection", b"close"))

    async def answer(self, send: Send) -> None:
        """Send the whole answer."""
        payload = json.dumps(error_body(self.message, self.kind, self.status)).encode()
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(payload)),
                    *self.headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": payload})
