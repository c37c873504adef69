"""Who may start now, who waits, and who is told to come back later."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from typing import Literal

Reason = Literal["queue-full", "key-concurrency", "key-tokens"]

LEAST_SECONDS = 1
MOST_SECONDS = 60
"""Bounds of what a refused client is told to wait, where that is an estimate."""

REFILL_SECONDS = 60.0
"""An empty bucket is full after as long: the limit is told in tokens a minute."""

RECENT = 16
"""About so many of the last requests make up the average duration."""


class Refused(Exception):
    """A limit is reached.

    Args:
        reason: Which limit, for metrics.
        message: The limit's variable and value, and when to come back.
        retry_after: Seconds.
    """

    status = 429

    def __init__(self, reason: Reason, message: str, retry_after: int):
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


_Waiter = asyncio.Future[Refused | None]


class _Key:
    """What is known of one key while it has requests, or has used tokens lately."""

    def __init__(self, level: float, now: float):
        self.running = 0
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self.level = level
        """Tokens that it may still use, as of ``seen``; below zero after an overdraft."""
        self.seen = now

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiters


class Ticket:
    """A request that runs."""

    def __init__(self, admission: Admission, key: str | None, started: float):
        self._admission = admission
        self.key = key
        self.started = started

    def spend(self, tokens: int) -> None:
        """Take tokens that were read or written from what the key may use."""
        self._admission.spend(self.key, tokens)


class Admission:
    """The engine's places, and the queue for them.

    The queue is fair by key: the keys that wait take turns, and within a key the first is the
    first. Where it is full, a request of a key that has few in it takes the place of the newest of
    the key that has most, so that one key cannot keep the others out either.

    Args:
        concurrent: Requests that run at once.
        queued: Requests that wait.
        per_key: Requests that a key may have at once, running or waiting.
        tokens_per_minute: Tokens that a key may use. What it uses beyond that while its requests
            run is owed: nothing new starts before it is paid back.
        clock: Gives seconds that never go back.
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
        """The keys that wait, the next one first."""
        self._running = 0
        self._waiting = 0
        self._duration: float | None = None
        """Average of recent requests, in seconds."""
        self._moved = clock()
        """When a request last finished, or the first one started."""
        self._swept = self._moved

    @property
    def running(self) -> int:
        """Requests that run."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._waiting

    @property
    def keys(self) -> int:
        """Keys that something is remembered of."""
        return len(self._keys)

    @contextlib.asynccontextmanager
    async def admit(self, key: str | None) -> AsyncGenerator[Ticket, None]:
        """Hold one of the places; wait for it where none is free.

        Cancel what waits here, and it has left the queue.

        Args:
            key: The name of the caller's key. None, where no key is needed, is everybody's.

        Raises:
            Refused: A limit is reached, or another key's request took the place in the queue.
        """
        self._sweep()
        state = self._known(key)
        try:
            self._check(state)
            if self._running < self._concurrent:
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
        """Take tokens from what a key may use."""
        if self._tokens is not None:
            self._known(key).level -= tokens

    def _known(self, key: str | None) -> _Key:
        """Return what is known of a key, its bucket refilled."""
        state = self._keys.get(key)
        if state is None:
            state = self._keys[key] = _Key(float(self._tokens or 0), self._clock())
        self._refill(state)
        return state

    def _check(self, state: _Key) -> None:
        if self._tokens is not None and state.level <= 0:
            # the first whole second at which something is there again
            wait = math.floor(-state.level * REFILL_SECONDS / self._tokens) + 1
            raise Refused(
                "key-tokens",
                f"The key has used its MAX_TOKENS_PER_MINUTE_PER_KEY={self._tokens} tokens, read "
                f"and written; try again in {wait} s.",
                wait,
            )
        if self._per_key is not None and state.running + len(state.waiters) >= self._per_key:
            if state.running:
                wait = self._estimate(1, state.running)
            else:
                wait = self._estimate(self._waiting + 1, self._running)
            raise Refused(
                "key-concurrency",
                f"The key has MAX_CONCURRENT_REQUESTS_PER_KEY={self._per_key} requests that run "
                f"or wait; try again in about {wait} s.",
                wait,
            )

    def _make_room(self, state: _Key) -> None:
        """See that one more of a key can wait."""
        if self._waiting < self._queued:
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

    def _full(self) -> Refused:
        wait = self._estimate(self._waiting + 1, self._running)
        return Refused(
            "queue-full",
            f"MAX_CONCURRENT_REQUESTS={self._concurrent} requests run and MAX_QUEUED_REQUESTS="
            f"{self._queued} wait; try again in about {wait} s.",
            wait,
        )

    def _estimate(self, finishing: int, running: int) -> int:
        """Return the seconds in which so many of those that run will probably have finished.

        Where nothing has finished for longer than that would take, as long again.
        """
        expected = (self._duration or 0.0) * finishing / max(1, running)
        still = self._clock() - self._moved
        return min(max(LEAST_SECONDS, math.ceil(max(expected, still))), MOST_SECONDS)

    async def _wait(self, key: str | None, state: _Key) -> None:
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        state.waiters[waiter] = None
        self._turns.setdefault(key)
        self._waiting += 1
        try:
            refused = await waiter
        except asyncio.CancelledError:
            if waiter in state.waiters:
                self._leave(key, state, waiter)
            elif not waiter.cancelled() and waiter.result() is None:
                # it had been given a place, and had not heard of it yet
                self._release(key)
            raise
        if refused is not None:
            raise refused

    def _leave(self, key: str | None, state: _Key, waiter: _Waiter) -> None:
        del state.waiters[waiter]
        self._waiting -= 1
        if not state.waiters:
            del self._turns[key]

    def _start(self, state: _Key) -> None:
        if not self._running:
            self._moved = self._clock()
        self._running += 1
        state.running += 1

    def _finish(self, ticket: Ticket) -> None:
        self._moved = self._clock()
        took = self._moved - ticket.started
        known = self._duration
        self._duration = took if known is None else known + (took - known) / RECENT
        self._release(ticket.key)

    def _release(self, key: str | None) -> None:
        """Give a place back, and give it to whose turn it is."""
        self._running -= 1
        self._keys[key].running -= 1
        while self._turns and self._running < self._concurrent:
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
            earned = (now - state.seen) * self._tokens / REFILL_SECONDS
            state.level = min(float(self._tokens), state.level + earned)
        state.seen = now

    def _forget(self, key: str | None) -> None:
        """Drop what is known of a key where a new one would start from the same."""
        state = self._keys.get(key)
        if state is not None and state.idle:
            self._refill(state)
            if state.level >= (self._tokens or 0):
                del self._keys[key]

    def _sweep(self) -> None:
        """Now and then drop the keys whose buckets have filled up since they were last used."""
        if self._clock() - self._swept >= REFILL_SECONDS:
            self._swept = self._clock()
            for key in list(self._keys):
                self._forget(key)
