"""The last lines of an output."""

from __future__ import annotations

import threading

LINES = 5000
BYTES = 1 << 20
LINE_BYTES = 4096
"""What is kept of one line."""


class Tail:
    """The last lines that were added, :data:`LINES` and :data:`BYTES` of them at the most.

    A ring of bytes that takes its whole room from the beginning, so that hours of output do not
    make the process grow. Safe to call from any thread.
    """

    def __init__(self) -> None:
        self._ring = bytearray(b"\n" * BYTES)
        self._written = 0
        self._lock = threading.Lock()

    def add(self, line: bytes) -> None:
        """Add a line, without its end."""
        kept = line[:LINE_BYTES] + b"\n"
        with self._lock:
            at = self._written % BYTES
            room = BYTES - at
            self._ring[at : at + len(kept)] = kept[:room]
            self._ring[: max(0, len(kept) - room)] = kept[room:]
            self._written += len(kept)

    def lines(self) -> list[str]:
        """Return the lines, the oldest first; bytes that are no UTF-8 are replaced."""
        with self._lock:
            at = self._written % BYTES
            whole = self._written <= BYTES
            kept = bytes(self._ring[:at] if whole and at else self._ring[at:] + self._ring[:at])
        if not self._written:
            return []
        # the oldest may have lost its beginning
        lines = kept.split(b"\n")[0 if whole else 1 : -1]
        return [line.decode(errors="replace") for line in lines[-LINES:]]
