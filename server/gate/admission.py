"""Admits requests to the engine, queues them, and refuses those beyond the limits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable

from server.gate.refusal import ErrorType, Reason, Refusal

MIN_RETRY_SECONDS = 1
MAX_RETRY_SECONDS = 60
"""Bounds of the Retry-After that a refused client gets, if it is an estimate."""

REFILL_SECONDS = 60.0
"""How long an empty token budget takes to refill: the limit is in tokens per minute."""

RECENT = 16
"""Approximately how many recent requests the average duration covers."""


class LimitReached(Refusal):
    """A limit is reached.

    Args:
        reason: Which limit.
        message: The limit's variable and value, and when to retry.
        retry_after: Seconds.
    """

    retry_after: int

    def __init__(self, reason: Reason, message: str, retry_after: int):
        super().__init__(429, ErrorType.RATE_LIMIT, message, reason=reason, retry_after=retry_after)


_Waiter = asyncio.Future[LimitReached | None]


class _Key:
    """The state of one key that has requests, or has used tokens recently."""

    def __init__(self, budget: float, now: float):
        self.running = 0
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self.budget = budget
        """Tokens that the key may still use, as of ``updated``; negative after an overdraft."""
        self.updated = now

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiters


class Ticket:
    """An admitted request."""

    def __init__(self, admission: Admission, key: str | None, started: float):
        self._admission = admission
        self.key = key
        self.started = started

    def spend(self, tokens: int) -> None:
        """Subtract tokens that were read or written from the key's budget."""
        self._admission.spend(self.key, tokens)


class Admission:
    """Grants the engine's places and queues requests for them.

    The queue is fair between keys: waiting keys take turns, and each key's requests run in the
    order of arrival. If the queue is full, a request of a key with few entries replaces the newest
    request of the key with most, so that one key cannot keep out the others.

    Args:
        concurrent: Maximum number of running requests.
        queued: Maximum number of waiting requests.
        per_key: Maximum number of requests of one key, running or waiting.
        tokens_per_minute: Token budget of each key. Running requests may overdraw it; the key's
            next request starts only once the overdraft has been refilled.
        clock: Returns monotonic seconds.

    Attributes:
        running: Number of running requests.
        waiting: Number of waiting requests.
    """

    def __init__(
        self,
        concurrent: int,
        queued: int,
        per_key: int | None = None,
        tokens_per_minute: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._concurrent = concurrent
        self._queued = queued
        self._per_key = per_key
        self._tokens = tokens_per_minute
        self._clock = clock
        self._keys: dict[str | None, _Key] = {}
        self._turns: OrderedDict[str | None, None] = OrderedDict()
        """Waiting keys, the next one first."""
        self.running = 0
        self.waiting = 0
        self._duration: float | None = None
        """Average duration of recent requests, in seconds."""
        self._last_change = clock()
        """When a request last finished, or the first one started."""
        self._swept = self._last_change

    @property
    def keys(self) -> int:
        """Number of keys with state in memory."""
        return len(self._keys)

    @contextlib.asynccontextmanager
    async def admit(self, key: str | None) -> AsyncGenerator[Ticket, None]:
        """Hold a place; wait until one is free.

        Cancelling the wait leaves the queue.

        Args:
            key: Name of the caller's key. None, if no key is needed, stands for everyone.

        Raises:
            LimitReached: A limit is reached, or another key's request replaced this one in the
                queue.
        """
        self._sweep()
        state = self._state(key)
        try:
            self._check(state)
            if self.running < self._concurrent:
                self._start(state)
            else:
                self._make_room(state)
                await self._wait(key, state)
        finally:
            self._forget(key)
        ticket = Ticket(self, key, self._clock())
        try:
            yield ticket
        finally:
            self._finish(ticket)

    def spend(self, key: str | None, tokens: int) -> None:
        """Subtract tokens from a key's budget."""
        if self._tokens is not None:
            self._state(key).budget -= tokens

    def _state(self, key: str | None) -> _Key:
        """Return a key's state, with its budget refilled."""
        state = self._keys.get(key)
        if state is None:
            state = self._keys[key] = _Key(float(self._tokens or 0), self._clock())
        self._refill(state)
        return state

    def _check(self, state: _Key) -> None:
        if self._tokens is not None and state.budget <= 0:
            # in whole seconds, rounded up to when the budget is positive again
            wait = math.floor(-state.budget * REFILL_SECONDS / self._tokens) + 1
            raise LimitReached(
                Reason.KEY_TOKENS,
                f"The key has used its MAX_TOKENS_PER_MINUTE_PER_KEY={self._tokens} tokens, of "
                f"prompts and answers. Retry in {wait} s.",
                wait,
            )
        if self._per_key is not None and state.running + len(state.waiters) >= self._per_key:
            if state.running:
                wait = self._estimate(1, state.running)
            else:
                wait = self._estimate(self.waiting + 1, self.running)
            raise LimitReached(
                Reason.KEY_CONCURRENCY,
                f"The key has MAX_CONCURRENT_REQUESTS_PER_KEY={self._per_key} requests running or "
                f"waiting. Retry in about {wait} s.",
                wait,
            )

    def _make_room(self, state: _Key) -> None:
        """Make sure that one more request of a key can wait.

        Raises:
            LimitReached: The queue is full.
        """
        if self.waiting < self._queued:
            return
        full = self._full()
        if not self._turns:
            raise full
        most = max(self._turns, key=lambda name: len(self._keys[name].waiters))
        greedy = self._keys[most]
        if len(greedy.waiters) <= len(state.waiters) + 1:
            raise full
        newest = next(reversed(greedy.waiters))
        self._leave(most, greedy, newest)
        if not newest.done():
            newest.set_result(full)

    def _full(self) -> LimitReached:
        wait = self._estimate(self.waiting + 1, self.running)
        return LimitReached(
            Reason.QUEUE_FULL,
            f"MAX_CONCURRENT_REQUESTS={self._concurrent} requests are running and "
            f"MAX_QUEUED_REQUESTS={self._queued} are waiting. Retry in about {wait} s.",
            wait,
        )

    def _estimate(self, finishing: int, running: int) -> int:
        """Estimate the seconds until ``finishing`` requests have finished while ``running`` run.

        If nothing has finished for longer than that, return the time since the last finish.
        """
        expected = (self._duration or 0.0) * finishing / max(1, running)
        unchanged = self._clock() - self._last_change
        seconds = math.ceil(max(expected, unchanged))
        return min(max(MIN_RETRY_SECONDS, seconds), MAX_RETRY_SECONDS)

    async def _wait(self, key: str | None, state: _Key) -> None:
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        state.waiters[waiter] = None
        self._turns.setdefault(key)
        self.waiting += 1
        try:
            limit = await waiter
        except asyncio.CancelledError:
            if waiter in state.waiters:
                self._leave(key, state, waiter)
            elif not waiter.cancelled() and waiter.result() is None:
                # it was granted a place and cancelled before it could run
                self._release(key)
            raise
        if limit is not None:
            raise limit

    def _leave(self, key: str | None, state: _Key, waiter: _Waiter) -> None:
        del state.waiters[waiter]
        self.waiting -= 1
        if not state.waiters:
            del self._turns[key]

    def _start(self, state: _Key) -> None:
        if not self.running:
            self._last_change = self._clock()
        self.running += 1
        state.running += 1

    def _finish(self, ticket: Ticket) -> None:
        self._last_change = self._clock()
        took = self._last_change - ticket.started
        average = self._duration
        self._duration = took if average is None else average + (took - average) / RECENT
        self._release(ticket.key)

    def _release(self, key: str | None) -> None:
        """Give back a place, and grant it to the next key in turn."""
        self.running -= 1
        self._keys[key].running -= 1
        while self._turns and self.running < self._concurrent:
            name = next(iter(self._turns))
            self._turns.move_to_end(name)
            chosen = self._keys[name]
            waiter = next(iter(chosen.waiters))
            self._leave(name, chosen, waiter)
            if not waiter.done():
                self._start(chosen)
                waiter.set_result(None)
        self._forget(key)

    def _refill(self, state: _Key) -> None:
        now = self._clock()
        if self._tokens is not None:
            earned = (now - state.updated) * self._tokens / REFILL_SECONDS
            state.budget = min(float(self._tokens), state.budget + earned)
        state.updated = now

    def _forget(self, key: str | None) -> None:
        """Drop a key's state if a new one would be the same."""
        state = self._keys.get(key)
        if state is not None and state.idle:
            self._refill(state)
            if state.budget >= (self._tokens or 0):
                del self._keys[key]

    def _sweep(self) -> None:
        """Once per refill time, drop the keys whose budgets have refilled since their last use."""
        if self._clock() - self._swept >= REFILL_SECONDS:
            self._swept = self._clock()
            for key in list(self._keys):
                self._forget(key)
