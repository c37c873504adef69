"""Progress on standard error: bars on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from entrypoint.store.progress import Progress
from entrypoint.units import human_bytes

LINE_SECONDS = 10.0
"""Seconds between two lines, where there is no terminal."""


class ProgressBar:
    """Shows the progress of long work: call it with each :class:`Progress`, from any thread.

    A context manager. Bytes that were done before the first call do not count. Work that ends
    within :data:`LINE_SECONDS` prints no line.

    Args:
        verb: The work, such as ``"pack"``.
        stream: Where to write; bars appear if it is a terminal.
    """

    def __init__(self, verb: str, stream: IO[str] | None = None):
        self._verb = verb
        self._stream = stream or sys.stderr
        self._draws = self._stream.isatty()
        self._lock = threading.Lock()
        self._started = self._printed = time.monotonic()
        self._total: int | None = None
        self._initial = 0
        self._closed = False
        self._bar: Any = None
        self._files: dict[str, Any] = {}

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._closed = True
            self._close()

    def __call__(self, progress: Progress) -> None:
        """Show a state of the work."""
        with self._lock:
            if self._closed:
                return
            if progress.total != self._total:
                self._begin(progress)
            if self._draws:
                self._draw(progress)
                return
            now = time.monotonic()
            if now - self._printed >= LINE_SECONDS:
                self._printed = now
                print(self._line(progress, now), file=self._stream, flush=True)

    def _begin(self, progress: Progress) -> None:
        """Start to show work, or its next stage, which has another total."""
        self._close()
        self._started = self._printed = time.monotonic()
        self._total, self._initial = progress.total, progress.done

    def _close(self) -> None:
        self._draw_files({})
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, progress: Progress) -> None:
        done, total = progress.done - self._initial, progress.total - self._initial
        if self._bar is None and total:
            self._bar = self._new_bar(self._verb, total, done)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        self._draw_files(progress.files)

    def _draw_files(self, files: Mapping[str, tuple[int, int]]) -> None:
        for name in self._files.keys() - files.keys():
            self._files.pop(name).close()
        for name, (done, size) in files.items():
            if name not in self._files:
                self._files[name] = self._new_bar(name, size, done, leave=False)
            self._files[name].update(done - self._files[name].n)

    def _line(self, progress: Progress, now: float) -> str:
        done, total = progress.done - self._initial, progress.total - self._initial
        rate = done / (now - self._started)
        line = f"{self._verb}: {human_bytes(done)} of {human_bytes(total)}, {human_bytes(rate)}/s"
        return line + (f", {(total - done) / rate:.0f} s left" if rate > 0 else "")

    def _new_bar(self, name: str, total: int, initial: int, leave: bool = True) -> Any:
        from tqdm import tqdm

        return tqdm(
            desc=name, total=total, initial=initial, leave=leave, file=self._stream, unit="B",
            unit_scale=True, unit_divisor=1024,
        )  # fmt: skip
