"""Watches whether the engine makes progress, and counts the tokens of each request."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Protocol


class Ticket(Protocol):
    """An admitted request, whose tokens are counted."""

    def spend(self, tokens: int) -> None:
        """Count tokens that were read or written."""


current_ticket: ContextVar[Ticket | None] = ContextVar("current_ticket", default=None)
"""The ticket of the request that the running code serves."""


class EngineActivity:
    """Counts running requests and remembers when the engine last made progress.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._running = 0
        self._last_progress = clock()

    def stalled_seconds(self) -> float:
        """Return for how long the engine has made no progress; 0 unless several requests run.

        A single request may be a long one: a prompt the size of a book yields no token for
        minutes.
        """
        return self._clock() - self._last_progress if self._running > 1 else 0.0

    def watch(self, client: Any) -> None:
        """Watch an engine client (vLLM's ``EngineClient``) from now on."""
        client.generate = self._wrap_requests(client.generate)
        client.encode = self._wrap_requests(client.encode)
        client.engine_core.get_output_async = self._wrap_steps(client.engine_core.get_output_async)

    def _wrap_requests(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            # not a generator itself: an engine may refuse a request before anything is awaited
            return self._count(make(*args, **kwargs))

        return wrapped

    async def _count(self, outputs: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        ticket = current_ticket.get()
        prompt_counted = False
        if not self._running:
            self._last_progress = self._clock()
        self._running += 1
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if ticket is not None:
                        # vLLM's server requests either deltas or one complete output
                        tokens = written_tokens(output)
                        tokens += 0 if prompt_counted else len(output.prompt_token_ids or ())
                        prompt_counted = True
                        ticket.spend(tokens)
                    yield output
        finally:
            self._running -= 1

    def _wrap_steps(self, receive: Callable[[], Any]) -> Callable[[], Any]:
        async def wrapped() -> Any:
            outputs = await receive()
            stats = outputs.scheduler_stats
            # a step that computes part of a long prompt is progress although it yields no token
            if outputs.outputs or (stats is not None and stats.num_running_reqs):
                self._last_progress = self._clock()
            return outputs

        return wrapped


def written_tokens(output: Any) -> int:
    """Return the number of generated tokens in a vLLM output, 0 for a pooling model's."""
    pieces = output.outputs if isinstance(output.outputs, list) else ()
    return sum(len(piece.token_ids) for piece in pieces)
