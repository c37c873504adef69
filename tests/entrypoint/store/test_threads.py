"""Threads return results in order, and the first failure stops the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from entrypoint.store.threads import (
    Stop,
    Stopped,
    Threads,
    finished_items,
    in_order,
    in_threads,
    processors,
    take_finished,
)


def test_results_are_in_the_order_of_the_items() -> None:
    first_may_end = threading.Event()

    def do(item: int, stop: Stop) -> int:
        if item == 0:
            assert first_may_end.wait(10)
        if item == 3:
            first_may_end.set()
        return item * item

    assert in_threads(do, range(4), 2) == [0, 1, 4, 9]


def test_the_first_failure_stops_the_others() -> None:
    called = []
    running = threading.Event()

    def do(item: int, stop: Stop) -> None:
        called.append(item)
        if item == 1:
            assert running.wait(10)
            raise ValueError("bad")
        running.set()
        while True:  # ends by being stopped
            stop.check()

    with pytest.raises(ValueError, match="bad"):
        in_threads(do, range(1000), 2)
    assert len(called) < 1000


def test_no_items_give_no_results() -> None:
    assert in_threads(lambda item, stop: item, [], 3) == []


def test_at_most_all_processors_are_counted() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)


def test_items_are_taken_only_shortly_before_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item * item, items(), 3)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) < 10
    assert list(results) == [item * item for item in range(2, 100)]
    assert taken == list(range(100))


def test_a_failed_item_raises_in_its_turn() -> None:
    results = in_order(lambda item: 6 // item, [1, 2, 0, 3], 2)
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_finished_calls_are_taken_once_and_a_failed_one_raises() -> None:
    with Threads(1) as threads:
        running = {threads.start(divmod, 7, item): item for item in (2, 0, 3)}
        results: list[tuple[int, tuple[int, int]]] = []
        errors = 0
        while running:
            try:
                results += take_finished(running)
            except ZeroDivisionError:
                errors += 1
    assert sorted(results) == [(2, (3, 1)), (3, (2, 1))]
    assert errors == 1


def test_only_calls_without_an_error_count_as_finished() -> None:
    may_end = threading.Event()

    def work(item: str) -> None:
        if item == "failed":
            raise ValueError
        if item == "running":
            may_end.wait(10)

    with Threads(1) as threads:
        items = ("good", "failed", "running", "canceled")
        running = {threads.start(work, item): item for item in items}
        while len(finished_items(running)) < 1:
            pass
        assert finished_items(running) == ["good"]
        may_end.set()
    assert "failed" not in finished_items(running)


def test_leaving_wakes_a_sleeping_thread() -> None:
    asleep = threading.Event()

    def sleep(stop: Stop) -> None:
        asleep.set()
        stop.sleep(60)

    with Threads(1) as threads:
        sleeping = threads.start(sleep, threads.stop)
        assert asleep.wait(10)
    assert isinstance(sleeping.exception(), Stopped)


def test_after_an_error_no_thread_is_left() -> None:
    def fail() -> None:
        with Threads(4) as threads:
            for item in range(20):
                threads.start(divmod, 7, item)
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert threading.active_count() == before
