"""Writes this process's output from a thread of its own, so that a slow reader holds up nobody."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable

BACKLOG_BYTES = 4 << 20
"""What may wait for a slow reader."""
PATIENCE_SECONDS = 5.0
"""How long a full backlog is waited for, before lines are left out."""
WRITTEN_BYTES = 1 << 16
"""What is written at once at the most."""


def _note(left_out: int) -> bytes:
    return f"({left_out} lines left out here: what reads this output was too slow)\n".encode()


class LogWriter:
    """Standard output and standard error, written to in the order in which lines come.

    A reader that stands still first holds up those who may wait (the engine's output), for
    :data:`PATIENCE_SECONDS`; then lines are left out, and their number is written once it reads
    again. Safe to call from any thread.

    Args:
        note: The line that tells how many lines were left out.
    """

    def __init__(self, note: Callable[[int], bytes] = _note) -> None:
        self._note = note
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._left_out = 0
        self._full = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, descriptor: int, data: bytes, may_wait: bool = False) -> None:
        """Write whole lines.

        Args:
            descriptor: Where to: 1 or 2.
            data: The lines, each with its end.
            may_wait: Whether the caller may be held up by a slow reader; if not, the lines may
                take twice the room.
        """
        room = BACKLOG_BYTES if may_wait else 2 * BACKLOG_BYTES
        with self._changed:
            if may_wait and not self._full:
                self._full = not self._changed.wait_for(
                    lambda: self._bytes == 0 or self._bytes + len(data) <= room, PATIENCE_SECONDS
                )
            if self._closed or (may_wait and self._full) or self._bytes > room:
                self._left_out += data.count(b"\n")
                return
            if self._left_out:
                self._append(descriptor, self._note(self._left_out))
                self._left_out = 0
            self._append(descriptor, data)
            self._changed.notify_all()

    def flush(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until everything is written, for so many seconds at the most; return whether it
        is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._bytes == 0, seconds)

    def close(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Write what waits, for so many seconds at the most, and take no more."""
        with self._changed:
            if self._left_out:
                self._append(2, self._note(self._left_out))
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _append(self, descriptor: int, data: bytes) -> None:
        self._waiting.append((descriptor, data))
        self._bytes += len(data)

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            descriptor, data = taken
            _write_all(descriptor, data)
            with self._changed:
                self._bytes -= len(data)
                if self._bytes <= BACKLOG_BYTES // 2:
                    self._full = False
                self._changed.notify_all()

    def _take(self) -> tuple[int, bytes] | None:
        """Wait for lines; return those that go to one place, None once there will be no more."""
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
                and length + len(self._waiting[0][1]) <= WRITTEN_BYTES
            ):
                parts.append(self._waiting.popleft()[1])
                length += len(parts[-1])
            return descriptor, b"".join(parts)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything; where nobody reads any more, nothing."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # whoever gave us the file has set it so
            select.select([], [descriptor], [])
        except OSError:
            return


class LogHandler(logging.Handler):
    """Hands this process's own log records to the writer.

    Args:
        writer: The writer.
        mask: Masks secrets.
    """

    def __init__(self, writer: LogWriter, mask: Callable[[bytes], bytes]):
        super().__init__()
        self._writer = writer
        self._mask = mask

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to standard error."""
        self._writer.write(2, self._mask(self.format(record).encode(errors="replace") + b"\n"))
