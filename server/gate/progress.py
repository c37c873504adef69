"""Whether the engine gets on with its work, and how many tokens that takes."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Protocol


class Ticket(Protocol):
    """What a request was let in with."""

    def spend(self, tokens: int) -> None:
        """Count tokens that were read or written."""


current_ticket: ContextVar[Ticket | None] = ContextVar("current_ticket", default=None)
"""Of the request that the running code works for."""


class Progress:
    """Counts what runs, and remembers when the engine last got on.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._running = 0
        self._last = clock()

    def stalled(self) -> float:
        """Return for how many seconds nothing has come of it, 0 unless several requests wait.

        One request alone may be one that takes long: a prompt as long as a book makes no token
        for minutes.
        """
        return self._clock() - self._last if self._running > 1 else 0.0

    def watch(self, client: Any) -> None:
        """Watch an engine client (vLLM's ``EngineClient``) from now on."""
        client.generate = self._counting(client.generate)
        client.encode = self._counting(client.encode)
        client.engine_core.get_output_async = self._noting(client.engine_core.get_output_async)

    def _counting(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            # at once: an engine may refuse a request before anything is awaited
            return self._counted(make(*args, **kwargs))

        return made

    async def _counted(self, outputs: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        ticket = current_ticket.get()
        read = False
        if not self._running:
            self._last = self._clock()
        self._running += 1
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if ticket is not None:
                        # vLLM's server asks for deltas or for one whole output, nothing between
                        tokens = written(output)
                        tokens += 0 if read else len(output.prompt_token_ids or ())
                        read = True
                        ticket.spend(tokens)
                    yield output
        finally:
            self._running -= 1

    def _noting(self, receive: Callable[[], Any]) -> Callable[[], Any]:
        async def noted() -> Any:
            outputs = await receive()
            stats = outputs.scheduler_stats
            # a step that computes a part of a long prompt makes no token, and is one
            if outputs.outputs or (stats is not None and stats.num_running_reqs):
                self._last = self._clock()
            return outputs

        return noted


def written(output: Any) -> int:
    """Return how many tokens an output of vLLM's brings; a pooling model's brings none."""
    pieces = output.outputs if isinstance(output.outputs, list) else ()
    return sum(len(piece.token_ids) for piece in pieces)
