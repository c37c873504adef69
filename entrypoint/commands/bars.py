"""The progress of long work, on standard error: bars on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import IO, Any

from entrypoint.units import human_bytes

LINE_SECONDS = 10.0
"""How often a line is printed where there is no terminal."""


class Progress:
    """Shows how many bytes are done, in all and of each file. Safe to call from any thread.

    A context manager. Work that ends within :data:`LINE_SECONDS` prints no line.

    Args:
        what: The verb, as ``"pack"``.
        total: Bytes in all.
        stream: Where to; bars if it is a terminal.
    """

    def __init__(self, what: str, total: int, stream: IO[str] | None = None):
        self.done = 0
        self.total = total
        self._what = what
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._started = self._told = time.monotonic()
        self._bar: Any = None
        self._files: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        if self._stream.isatty():
            self._bar = self._new_bar(self._what, self.total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            for bar in (*self._files.values(), self._bar):
                if bar is not None:
                    bar.close()
            self._files.clear()

    def start(self, name: str, size: int) -> None:
        """Show a file of so many bytes from now on."""
        if self._bar is not None:
            with self._lock:
                self._files[name] = self._new_bar(name, size, leave=False)

    def advance(self, count: int, name: str | None = None) -> None:
        """Count bytes, of a file if it is named; negative where they have to be done again."""
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(count)
                if name in self._files:
                    self._files[name].update(count)
                return
            now = time.monotonic()
            if now - self._told >= LINE_SECONDS:
                self._told = now
                print(self._line(now), file=self._stream, flush=True)

    def finish(self, name: str) -> None:
        """Show a file no longer."""
        with self._lock:
            bar = self._files.pop(name, None)
            if bar is not None:
                bar.close()

    def _line(self, now: float) -> str:
        rate = self.done / (now - self._started)
        line = f"{self._what}: {human_bytes(self.done)} of {human_bytes(self.total)}"
        line += f", {human_bytes(rate)}/s"
        return line + (f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else "")

    def _new_bar(self, name: str, total: int, leave: bool = True) -> Any:
        from tqdm import tqdm

        return tqdm(
            desc=name, total=total, leave=leave, file=self._stream, unit="B", unit_scale=True,
            unit_divisor=1024,
        )  # fmt: skip
