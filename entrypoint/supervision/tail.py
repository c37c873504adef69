"""The last lines of an output."""

from __future__ import annotations

import threading

LINES = 5000
BYTES = 1 << 20
LINE_BYTES = 1 << 16
"""How much of a line is kept. A JSON record contains complete tracebacks."""
START_BYTES = LINE_BYTES * 5 // 8
"""How much of a longer line is kept at its start; the rest is kept at its end."""
_GAP = b" ... "


def shorten(line: bytes) -> bytes:
    """Return the start and the end of a line that is longer than :data:`LINE_BYTES`."""
    if len(line) <= LINE_BYTES:
        return line
    return line[:START_BYTES] + _GAP + line[START_BYTES + len(_GAP) - LINE_BYTES :]


class Tail:
    """Keeps the last lines that were added, up to :data:`LINES` and :data:`BYTES`.

    A ring buffer of constant size, so that the process does not grow. Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._ring = bytearray(b"\n" * BYTES)
        self._written = 0
        self._lock = threading.Lock()

    def add(self, line: bytes) -> None:
        """Add a line, without its line end."""
        kept = shorten(line) + b"\n"
        with self._lock:
            at = self._written % BYTES
            room = BYTES - at
            self._ring[at : at + len(kept)] = kept[:room]
            self._ring[: max(0, len(kept) - room)] = kept[room:]
            self._written += len(kept)

    def lines(self) -> list[str]:
        """Return the lines, oldest first; bytes that are not UTF-8 are replaced."""
        with self._lock:
            at = self._written % BYTES
            complete = self._written <= BYTES
            kept = bytes(self._ring[:at] if complete and at else self._ring[at:] + self._ring[:at])
        if not self._written:
            return []
        # the start of the oldest may be overwritten
        lines = kept.split(b"\n")[0 if complete else 1 : -1]
        return [line.decode(errors="replace") for line in lines[-LINES:]]
