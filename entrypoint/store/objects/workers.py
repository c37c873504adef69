"""Parts that are transferred at once, by threads that stop together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

from entrypoint.store.objects.parts import Part

Result = TypeVar("Result")


class Stopped(Exception):
    """Another part failed, or the user asked to stop: this one is not wanted any more."""


class Workers(Generic[Result]):
    """Does something for each part, in threads.

    Args:
        work: Transfers a part. It asks :meth:`check` now and then.
        count: Parts that are worked on at once.
    """

    def __init__(self, work: Callable[[Part], Result], count: int):
        self._work = work
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="part")
        self._waiting: dict[Future[Result], Part] = {}

    def check(self) -> None:
        """Raise :class:`Stopped` in a thread whose work is not wanted any more."""
        if self._stop.is_set():
            raise Stopped

    @contextmanager
    def started(self, parts: Iterable[Part]) -> Iterator[None]:
        """Start on all parts; leaving stops those that are not done."""
        try:
            self._waiting = {self._pool.submit(self._work, part): part for part in parts}
            yield
        finally:
            self._stop.set()
            self._pool.shutdown(cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether there are parts of which :meth:`done` has not told."""
        return bool(self._waiting)

    def done(self, block: bool = True) -> list[tuple[Part, Result]]:
        """Return the parts that are done since the last call, with what came of them.

        Args:
            block: Whether to wait for at least one, if none is.

        Raises:
            Exception: What a part has raised; those that are done are told by the next call.
        """
        finished, _ = wait(self._waiting, timeout=None if block else 0, return_when=FIRST_COMPLETED)
        for future in finished:
            if error := future.exception():
                del self._waiting[future]
                raise error
        return [(self._waiting.pop(future), future.result()) for future in finished]

    def rescued(self) -> list[Part]:
        """Return, after it was stopped, the parts that were done and not told of."""
        return [
            part
            for future, part in self._waiting.items()
            if future.done() and not future.cancelled() and not future.exception()
        ]
