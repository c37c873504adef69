"""Threads: results in order, the first failure stops the others."""

from __future__ import annotations

import os
import threading

import pytest

from entrypoint.store.threads import Stop, in_threads, processors


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


def test_no_items() -> None:
    assert in_threads(lambda item, stop: item, [], 3) == []


def test_processors() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)
