"""One request to an ASGI application, message by message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message


class Request:
    """A client that records each message when it is sent, and can disconnect."""

    def __init__(
        self,
        app: ASGIApp,
        path: str = "/v1/completions",
        method: str = "POST",
        *,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        query: str = "",
        body: bytes | None = b"{}",
        kind: str = "http",
    ):
        self.messages: list[Message] = []
        self._left = asyncio.Event()
        self._body: list[Message] = []
        if body is not None:  # else the client sends none
            self._body = [{"type": "http.request", "body": body, "more_body": False}]
        self._sent = asyncio.Condition()
        pairs = headers.items() if isinstance(headers, dict) else headers or ()
        scope: dict[str, Any] = {
            "type": kind,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in pairs],
        }
        if kind == "http":
            scope["method"] = method
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        async with self._sent:
            self.messages.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._left.set()  # as uvicorn does: receive() reports that the exchange is over
            self._sent.notify_all()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    async def until(self, count: int) -> None:
        """Wait until this number of messages has come."""
        async with self._sent, asyncio.timeout(10):
            await self._sent.wait_for(lambda: len(self.messages) >= count)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Wait for the end of the answer; return status, headers and body."""
        async with asyncio.timeout(10):
            await self.task
        start = self.messages[0]
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, b"".join(m["body"] for m in self.messages[1:])

    async def error(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Wait for a refusal; return status, headers and its error."""
        status, headers, body = await self.answer()
        error: dict[str, Any] = json.loads(body)["error"]
        return status, headers, error
