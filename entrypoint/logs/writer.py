"""Writes this process's output from a separate thread, so that a slow reader blocks nobody."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable

BACKLOG_BYTES = 4 << 20
"""How much output may wait for a slow reader."""
PATIENCE_SECONDS = 5.0
"""How long to wait for a full backlog before dropping lines."""
WRITE_BYTES = 1 << 16
"""How much to write at once."""


def _dropped_note(dropped: int) -> bytes:
    return f"({dropped} lines dropped here, because the output was read too slowly)\n".encode()


class LogWriter:
    """Writes lines to standard output and standard error in the order in which they arrive.

    A reader that stops reading first blocks the callers that may wait (the engine's output) for
    :data:`PATIENCE_SECONDS`. After that, lines are dropped, and their number is written when the
    reader reads again. All methods can be called from any thread.

    Args:
        note: Returns the line that states how many lines were dropped.
    """

    def __init__(self, note: Callable[[int], bytes] = _dropped_note) -> None:
        self._note = note
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._dropped = 0
        self._full = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, descriptor: int, data: bytes, may_wait: bool = False) -> None:
        """Write complete lines.

        Args:
            descriptor: 1 for standard output, 2 for standard error.
            data: The lines, with their line endings.
            may_wait: Whether a slow reader may block the caller. If not, the backlog may be twice
                as large.
        """
        room = BACKLOG_BYTES if may_wait else 2 * BACKLOG_BYTES
        with self._changed:
            if may_wait and not self._full:
                self._full = not self._changed.wait_for(
                    lambda: self._bytes == 0 or self._bytes + len(data) <= room, PATIENCE_SECONDS
                )
            if self._closed or (may_wait and self._full) or self._bytes > room:
                self._dropped += data.count(b"\n")
                return
            if self._dropped:
                self._append(descriptor, self._note(self._dropped))
                self._dropped = 0
            self._append(descriptor, data)
            self._changed.notify_all()

    def flush(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until everything is written or the time is over; return whether it is written."""
        with self._changed:
            return self._changed.wait_for(lambda: self._bytes == 0, seconds)

    def close(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Accept no more lines, and wait until the rest is written or the time is over."""
        with self._changed:
            if self._dropped:
                self._append(2, self._note(self._dropped))
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _append(self, descriptor: int, data: bytes) -> None:
        self._waiting.append((descriptor, data))
        self._bytes += len(data)

    def _work(self) -> None:
        while (item := self._take()) is not None:
            descriptor, data = item
            _write_all(descriptor, data)
            with self._changed:
                self._bytes -= len(data)
                if self._bytes <= BACKLOG_BYTES // 2:
                    self._full = False
                self._changed.notify_all()

    def _take(self) -> tuple[int, bytes] | None:
        """Wait for lines and return those for one descriptor, None after the last ones."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            descriptor, data = self._waiting.popleft()
            parts = [data]
            length = len(data)
            while (
                self._waiting
                and self._waiting[0][0] == descriptor
                and length + len(self._waiting[0][1]) <= WRITE_BYTES
            ):
                parts.append(self._waiting.popleft()[1])
                length += len(parts[-1])
            return descriptor, b"".join(parts)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything, or nothing if the reader has closed its end."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # the parent process set the file to non-blocking
            select.select([], [descriptor], [])
        except OSError:
            return


class LogHandler(logging.Handler):
    """Passes this process's log records to the writer.

    Args:
        writer: Where to write the records.
        mask: Masks secrets.
    """

    def __init__(self, writer: LogWriter, mask: Callable[[bytes], bytes]):
        super().__init__()
        self._writer = writer
        self._mask = mask

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to standard error."""
        self._writer.write(2, self._mask(self.format(record).encode(errors="replace") + b"\n"))
