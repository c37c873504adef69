"""Requests start, wait, or are refused, and no place is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.gate.admission import Admission, LimitReached, Ticket
from tests.support.event_loop import in_event_loop


class Clock:
    """Seconds that pass when a test advances them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Request:
    """A request that runs until a test finishes it."""

    def __init__(self, admission: Admission, key: str | None):
        self.key = key
        self.ticket: Ticket | None = None
        self.refused: LimitReached | None = None
        self._end = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(admission))

    async def _run(self, admission: Admission) -> None:
        try:
            async with admission.admit(self.key) as self.ticket:
                await self._end.wait()
        except LimitReached as refused:
            self.refused = refused

    @property
    def runs(self) -> bool:
        return self.ticket is not None and not self.task.done()

    def finish(self) -> None:
        self._end.set()


async def settle() -> None:
    """Run the event loop until nothing changes."""
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """Requests, by name."""

    def __init__(self, admission: Admission):
        self.admission = admission
        self.requests: dict[str, Request] = {}

    async def arrive(self, *names: str) -> None:
        """Send requests; ``a1`` is the first of key ``a``."""
        for name in names:
            self.requests[name] = Request(self.admission, name[0])
        await settle()

    async def finish(self, *names: str) -> None:
        for name in names:
            self.requests[name].finish()
        await settle()

    @property
    def run(self) -> list[str]:
        return [name for name, request in self.requests.items() if request.runs]

    def refused(self, name: str) -> LimitReached:
        error = self.requests[name].refused
        assert error is not None
        return error


class TestPlaces:
    @in_event_loop
    async def test_requests_run_then_wait_then_are_refused(self) -> None:
        """1. Two run, two wait. 2. The fifth is refused. 3. One ends: the next starts."""
        admission = Admission(2, 2)
        crowd = Crowd(admission)
        await crowd.arrive("a1", "a2", "a3", "a4")
        assert (crowd.run, admission.running, admission.waiting) == (["a1", "a2"], 2, 2)
        await crowd.arrive("a5")
        error = crowd.refused("a5")
        assert (error.status, error.reason) == (429, "queue-full")
        assert "MAX_CONCURRENT_REQUESTS=2" in error.message
        assert "MAX_QUEUED_REQUESTS=2" in error.message
        await crowd.finish("a2")
        assert (crowd.run, admission.running, admission.waiting) == (["a1", "a3"], 2, 1)

    @in_event_loop
    async def test_a_request_that_fails_gives_its_place_back(self) -> None:
        admission = Admission(1, 0)
        with pytest.raises(ZeroDivisionError):
            async with admission.admit("a"):
                _ = 1 / 0
        assert admission.running == 0
        async with admission.admit("a"):
            assert admission.running == 1

    @in_event_loop
    async def test_without_a_queue_nothing_waits(self) -> None:
        crowd = Crowd(Admission(1, 0))
        await crowd.arrive("a1", "b1")
        assert crowd.refused("b1").reason == "queue-full"

    @in_event_loop
    async def test_a_client_that_leaves_the_queue_is_not_started(self) -> None:
        admission = Admission(1, 2)
        crowd = Crowd(admission)
        await crowd.arrive("a1", "a2", "a3")
        crowd.requests["a2"].task.cancel()
        await settle()
        assert admission.waiting == 1
        await crowd.finish("a1")
        assert crowd.run == ["a3"]

    @in_event_loop
    async def test_a_granted_place_passes_on_if_its_request_is_cancelled(self) -> None:
        """1. One runs, two wait. 2. The first ends, and the second is cancelled before it uses
        its place. 3. The third gets the place."""
        admission = Admission(1, 2)
        crowd = Crowd(admission)
        await crowd.arrive("a1", "a2", "a3")
        crowd.requests["a1"].finish()
        while admission.waiting == 2:
            await asyncio.sleep(0)
        assert crowd.requests["a2"].ticket is None
        crowd.requests["a2"].task.cancel()
        await settle()
        assert crowd.run == ["a3"]
        assert (admission.running, admission.waiting) == (1, 0)


class TestFairness:
    @in_event_loop
    async def test_keys_take_turns(self) -> None:
        crowd = Crowd(Admission(1, 10))
        await crowd.arrive("a0", "a1", "a2", "a3", "b1", "b2", "c1")
        order = []
        while crowd.run:
            (name,) = crowd.run
            order.append(name)
            await crowd.finish(name)
        assert order == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]

    @in_event_loop
    @pytest.mark.parametrize("concurrent", [1, 3])
    async def test_a_flood_delays_no_other_key_by_more_than_a_round(self, concurrent: int) -> None:
        """One key keeps the queue full; four others send one request after another."""
        admission = Admission(concurrent, 20)
        others = "bcde"
        dice = random.Random(concurrent)
        flood = [Request(admission, "a") for _ in range(concurrent + 20)]
        await settle()
        single = {key: Request(admission, key) for key in others}
        passed: Counter[str] = Counter()
        served: Counter[str] = Counter()
        running = [request for request in flood if request.runs]
        turned_away = 0
        for _ in range(300):
            await settle()
            ended = dice.choice(running)
            ended.finish()
            await settle()
            running.remove(ended)
            everyone = [*flood, *single.values()]
            (started,) = [r for r in everyone if r.runs and r not in running]
            running.append(started)
            for key in others:
                if started is single[key]:
                    passed[key] = 0
                    served[key] += 1
                    single[key] = Request(admission, key)
                else:
                    passed[key] += 1
                    # the other four keys have had their turn
                    assert passed[key] <= 4
                assert single[key].refused is None
            turned_away += sum(r.refused is not None for r in flood)
            flood = [r for r in flood if not r.task.done()]
            flood += [Request(admission, "a") for _ in range(5)]
        assert min(served.values()) >= 300 // 5 - 1
        assert turned_away >= 300
        for request in [*flood, *single.values()]:
            request.task.cancel()

    @in_event_loop
    async def test_a_full_queue_still_accepts_a_key_with_few_entries(self) -> None:
        """1. One key fills the queue. 2. Another's request takes the newest one's place.
        3. With equal shares nobody is pushed out."""
        crowd = Crowd(Admission(1, 4))
        await crowd.arrive("a1", "a2", "a3", "a4", "a5")
        await crowd.arrive("b1")
        assert crowd.refused("a5").reason == "queue-full"
        await crowd.arrive("b2")
        assert crowd.refused("a4").reason == "queue-full"
        await crowd.arrive("b3")
        assert crowd.refused("b3").reason == "queue-full"
        await crowd.finish("a1")
        assert crowd.run == ["a2"]
        await crowd.finish("a2")
        assert crowd.run == ["b1"]


class TestKeys:
    @in_event_loop
    async def test_running_and_waiting_requests_count_toward_a_keys_limit(self) -> None:
        crowd = Crowd(Admission(1, 10, per_key=2))
        await crowd.arrive("a1", "a2", "a3", "b1", "b2", "b3")
        for name in ("a3", "b3"):
            error = crowd.refused(name)
            assert error.reason == "key-concurrency"
            assert "MAX_CONCURRENT_REQUESTS_PER_KEY=2" in error.message
        await crowd.finish("a1")
        await crowd.arrive("a4")
        assert crowd.requests["a4"].refused is None

    @in_event_loop
    async def test_callers_without_a_key_share_one_limit(self) -> None:
        admission = Admission(10, 10, per_key=1)
        async with admission.admit(None):
            with pytest.raises(LimitReached):
                async with admission.admit(None):
                    pass


class TestTokens:
    @in_event_loop
    async def test_an_overdraft_delays_the_keys_next_request(self) -> None:
        """1. A request uses 150 tokens of 60 per minute. 2. Retry-After is 91 s, when one
        second's worth has refilled. 3. Until then only requests of this key are refused."""
        clock = Clock()
        admission = Admission(4, 4, tokens_per_minute=60, clock=clock)
        async with admission.admit("a") as ticket:
            ticket.spend(100)
            ticket.spend(50)
        with pytest.raises(LimitReached) as refused:
            async with admission.admit("a"):
                pass
        assert (refused.value.reason, refused.value.retry_after) == ("key-tokens", 91)
        assert "MAX_TOKENS_PER_MINUTE_PER_KEY=60" in refused.value.message
        async with admission.admit("b"):
            pass
        clock.now += 90
        with pytest.raises(LimitReached) as refused:
            async with admission.admit("a"):
                pass
        assert refused.value.retry_after == 1
        clock.now += 1
        async with admission.admit("a"):
            pass

    @in_event_loop
    async def test_retry_after_of_a_token_limit_is_exact(self) -> None:
        """A retry is refused one second earlier, and admitted exactly then."""
        dice = random.Random(7)
        for _ in range(300):
            clock = Clock()
            limit = dice.randrange(1, 5000)
            admission = Admission(1, 0, tokens_per_minute=limit, clock=clock)
            async with admission.admit("a") as ticket:
                ticket.spend(limit + dice.randrange(0, 10000))
            with pytest.raises(LimitReached) as refused:
                async with admission.admit("a"):
                    pass
            clock.now += refused.value.retry_after - 1
            with pytest.raises(LimitReached):
                async with admission.admit("a"):
                    pass
            clock.now += 1
            async with admission.admit("a"):
                pass

    @in_event_loop
    async def test_a_budget_never_exceeds_one_minute(self) -> None:
        clock = Clock()
        admission = Admission(1, 0, tokens_per_minute=60, clock=clock)
        async with admission.admit("a") as ticket:
            clock.now += 3600
            ticket.spend(61)
        with pytest.raises(LimitReached):
            async with admission.admit("a"):
                pass


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("seconds", "waiting", "retry_after"),
        [
            ([], 0, 1),
            ([0.1] * 10, 3, 1),
            ([2.0] * 10, 0, 2),
            ([2.0] * 10, 4, 10),
            ([50.0] * 10, 4, 60),
        ],
    )
    @in_event_loop
    async def test_it_is_as_long_as_the_requests_ahead_take(
        self, seconds: list[float], waiting: int, retry_after: int
    ) -> None:
        """With one request running and ``waiting`` more, after requests that took ``seconds``."""
        clock = Clock()
        admission = Admission(1, waiting, clock=clock)
        for each in seconds:
            async with admission.admit("a"):
                clock.now += each
        crowd = Crowd(admission)
        await crowd.arrive(*[f"a{n}" for n in range(waiting + 2)])
        assert crowd.refused(f"a{waiting + 1}").retry_after == retry_after

    @in_event_loop
    async def test_it_grows_while_nothing_finishes(self) -> None:
        clock = Clock()
        crowd = Crowd(Admission(1, 0, clock=clock))
        await crowd.arrive("a1")
        clock.now += 30
        await crowd.arrive("a2")
        assert crowd.refused("a2").retry_after == 30

    @in_event_loop
    async def test_a_key_at_its_limit_waits_for_its_own_requests(self) -> None:
        """Requests take 8 s and the key has two that run: one ends every 4 s."""
        clock = Clock()
        admission = Admission(4, 4, per_key=2, clock=clock)
        async with admission.admit("b"):
            clock.now += 8
        crowd = Crowd(admission)
        await crowd.arrive("a1", "a2", "a3")
        assert crowd.refused("a3").retry_after == 4


class TestMemory:
    @in_event_loop
    async def test_idle_keys_leave_no_state(self) -> None:
        admission = Admission(1, 0)
        for number in range(1000):
            async with admission.admit(f"key{number}"):
                pass
        assert admission.keys == 0

    @in_event_loop
    async def test_keys_are_dropped_once_their_budgets_refill(self) -> None:
        clock = Clock()
        admission = Admission(1, 0, tokens_per_minute=600, clock=clock)
        most = 0
        for number in range(10_000):
            clock.now += 1
            async with admission.admit(f"key{number}") as ticket:
                ticket.spend(300)
            most = max(most, admission.keys)
        # budgets refill after 30 s, and are checked once a minute
        assert most <= 92

    @in_event_loop
    async def test_refused_keys_leave_no_state(self) -> None:
        admission = Admission(1, 0)
        async with admission.admit("a"):
            for number in range(1000):
                with contextlib.suppress(LimitReached):
                    async with admission.admit(f"key{number}"):
                        pass
            assert admission.keys == 1
        assert admission.keys == 0


CONCURRENT = 2
QUEUED = 3
PER_KEY = 4


class Interleavings(RuleBasedStateMachine):
    """Requests arrive, end, and are cancelled, with one or more event-loop turns in between."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.admission = Admission(
            CONCURRENT, QUEUED, PER_KEY, tokens_per_minute=60, clock=self.clock
        )
        self.requests: list[Request] = []

    def teardown(self) -> None:
        """In the end, all places are free and no state remains."""
        for request in self.requests:
            request.finish()
        self.settle()
        assert all(request.task.done() for request in self.requests)
        assert (self.admission.running, self.admission.waiting) == (0, 0)
        self.clock.now += 3600

        async def last() -> None:
            async with self.admission.admit("last"):
                assert self.admission.keys == 1

        self.loop.run_until_complete(last())
        assert self.admission.keys == 0
        self.loop.close()

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def open(self) -> list[Request]:
        return [request for request in self.requests if not request.task.done()]

    @rule(key=st.sampled_from("abc"))
    def arrive(self, key: str) -> None:
        async def make() -> Request:
            return Request(self.admission, key)

        self.requests.append(self.loop.run_until_complete(make()))

    @precondition(lambda self: self.open())
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        data.draw(st.sampled_from(self.open())).finish()

    @precondition(lambda self: self.open())
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        data.draw(st.sampled_from(self.open())).task.cancel()

    @precondition(lambda self: any(request.runs for request in self.requests))
    @rule(data=st.data(), tokens=st.integers(0, 90))
    def spend(self, data: Any, tokens: int) -> None:
        ticket = data.draw(st.sampled_from([r for r in self.requests if r.runs])).ticket
        ticket.spend(tokens)

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule()
    def one_turn(self) -> None:
        self.turn()

    @rule()
    def settle(self) -> None:
        """Once the event loop is idle, no place is free while a request waits."""
        for _ in range(10):
            self.turn()
        running = sum(request.runs for request in self.requests)
        waiting = len(self.open()) - running
        assert (self.admission.running, self.admission.waiting) == (running, waiting)
        assert waiting == 0 or running == CONCURRENT

    @invariant()
    def bounds(self) -> None:
        assert 0 <= self.admission.running <= CONCURRENT
        assert 0 <= self.admission.waiting <= QUEUED
        assert sum(request.runs for request in self.requests) <= CONCURRENT
        for key in "abc":
            assert sum(r.runs for r in self.requests if r.key == key) <= PER_KEY


Interleavings.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
TestInterleavings = Interleavings.TestCase
