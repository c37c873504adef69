"""Threads that do the same with many files. Reading and hashing leave Python's lock to others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0))


class Stopped(Exception):
    """Another of the threads has failed."""


class Stop:
    """Tells the threads to end."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Have every thread end at its next check."""
        self._event.set()

    def check(self) -> None:
        """Raise :class:`Stopped` if the threads are to end."""
        if self._event.is_set():
            raise Stopped


def in_threads(
    do: Callable[[Item, Stop], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """Call a function with each item, so many at once; begin with the first.

    Args:
        do: The function; it calls :meth:`Stop.check` often.
        items: What it is called with.
        threads: How many calls run at once.

    Returns:
        The results, in the order of the items.

    Raises:
        Exception: What the first call that failed has raised; the others are stopped.
    """
    stop = Stop()
    pool = ThreadPoolExecutor(threads)
    try:
        futures = [pool.submit(do, item, stop) for item in items]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            if error := future.exception():
                raise error
        return [future.result() for future in futures]
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
