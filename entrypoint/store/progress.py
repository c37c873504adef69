"""How long work reports its progress, whoever shows it: a terminal or the status of a launch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come.

    Attributes:
        done: Bytes done.
        total: Bytes to do in all.
        files: ``{name: (bytes done, size)}`` of each file in progress; empty where the work
            does not report single files.
    """

    done: int
    total: int
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
"""Called with each change; an exception that it raises stops the work."""


def ignore_progress(progress: Progress) -> None:
    """Report nothing."""


class Counter:
    """Adds up the bytes of several threads, and reports each change, one at a time.

    Args:
        total: Bytes to do in all.
        on_progress: Called at once with 0 bytes, then with each change.
    """

    def __init__(self, total: int, on_progress: OnProgress):
        self._done = 0
        self._total = total
        self._files: dict[str, tuple[int, int]] = {}
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self.advance(0)

    def advance(self, count: int) -> None:
        """Count bytes that are done; a negative number if they have to be done again."""
        with self._lock:
            self._count(count)

    @contextmanager
    def file(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Report a file as in progress; yield an ``advance`` that counts the file's bytes too."""

        def advance(count: int) -> None:
            with self._lock:
                done, _ = self._files[name]
                self._files[name] = (done + count, size)
                self._count(count)

        with self._lock:
            self._files[name] = (0, size)
        try:
            yield advance
        finally:
            with self._lock:
                del self._files[name]

    def _count(self, count: int) -> None:
        self._done += count
        self._on_progress(Progress(self._done, self._total, dict(self._files)))
