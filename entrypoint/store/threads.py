"""The store's thread pool: threads that do the same with many items, and stop together.

Reading, hashing and compressing release Python's global lock, so the threads run in parallel.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0))


class Stopped(Exception):
    """The work has been stopped, because other work failed or the caller left."""


class Stop:
    """A request to stop, which threads check while they work."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Stop every thread at its next check."""
        self._event.set()

    def check(self) -> None:
        """Raise :class:`Stopped` if the work has been stopped."""
        if self._event.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Sleep, but raise :class:`Stopped` as soon as the work is stopped."""
        if self._event.wait(seconds):
            raise Stopped


class Threads:
    """A pool of threads. Leaving the context stops them and waits for their end.

    Args:
        count: How many threads.

    Attributes:
        stop: Set when the context is left.
    """

    def __init__(self, count: int):
        # not imported at the top: a start imports this module and often needs no threads
        from concurrent.futures import ThreadPoolExecutor

        self.stop = Stop()
        self._pool = ThreadPoolExecutor(count)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self, do: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Call a function in a thread, once one is free."""
        return self._pool.submit(do, *arguments)


def in_threads(
    do: Callable[[Item, Stop], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """Return the results of calling a function with each item, in the order of the items.

    Args:
        do: The function. It checks often whether it is to stop.
        items: Its arguments. The calls start in this order.
        threads: How many calls run at once.

    Raises:
        Exception: The error of the first call that failed. The other calls are stopped.
    """
    with Threads(threads) as pool:
        futures = [pool.start(do, item, pool.stop) for item in items]
        running = dict.fromkeys(futures)
        while running:
            take_finished(running)
        return [future.result() for future in futures]


def in_order(do: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield the result of each item in order, while threads work on the next ones.

    Args:
        do: The function.
        items: Its arguments, taken only shortly before they are needed.
        threads: How many calls run at once.
    """
    with Threads(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.start(do, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def finished_items(running: dict[Future[Result], Item]) -> list[Item]:
    """Return the items whose calls have finished without an error."""
    return [
        item
        for future, item in running.items()
        if future.done() and not future.cancelled() and not future.exception()
    ]


def take_finished(
    running: dict[Future[Result], Item], *, block: bool = True
) -> list[tuple[Item, Result]]:
    """Remove the finished calls from ``running``, and return their items and results.

    Args:
        running: ``{call: item}``.
        block: Whether to wait until at least one is finished.

    Raises:
        Exception: The error of a call. Only that call is removed.
    """
    from concurrent.futures import FIRST_COMPLETED, wait

    finished, _ = wait(running, timeout=None if block else 0, return_when=FIRST_COMPLETED)
    for future in finished:
        if error := future.exception():
            del running[future]
            raise error
    return [(running.pop(future), future.result()) for future in finished]
