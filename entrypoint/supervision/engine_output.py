"""The output of the engine's processes: read, masked, written on, and its last lines kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import selectors
import threading
import time

from entrypoint.logs.format import EngineRecords, Record, rfc3339
from entrypoint.logs.writer import LogWriter
from entrypoint.secrets import Redactor
from entrypoint.supervision.tail import Tail, shorten

READ_BYTES = 1 << 16
PIPE_BYTES = 1 << 18
"""Capacity of a pipe: what the engine can write while this process does not run."""
LONGEST_BYTES = 1 << 16
"""A longer line is written in pieces."""
LAST_BYTES = 4096
"""How much of the last line an error states."""
QUIET_SECONDS = 0.2
"""How long after its last line a traceback is treated as complete."""
_ERROR = re.compile(rb"Error|ERROR|Exception|CRITICAL|FATAL|Traceback")


class LineBuffer:
    """Splits a stream of bytes into pieces that can be masked and written.

    A piece ends at the end of a line, or at a progress bar's carriage return. A line longer than
    :data:`LONGEST_BYTES` is split, but never inside a secret.
    """

    def __init__(self, redact: Redactor):
        self._redact = redact
        self._rest = b""
        self._open = False

    def feed(self, data: bytes) -> bytes:
        """Return the masked bytes that are complete; often none."""
        rest = self._rest + data
        # a carriage return at the end may be the first half of a line end
        cut = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, len(rest) - 1)) + 1
        piece, self._rest = self._redact.output(rest[:cut]), rest[cut:]
        if len(self._rest) > LONGEST_BYTES:
            long = self._redact.output(self._rest)
            cut = len(long) - max(0, self._redact.longest - 1)
            piece, self._rest = piece + long[:cut], long[cut:]
        if piece:
            self._open = not piece.endswith(b"\n")
        return piece

    def end(self) -> bytes:
        """Return the remaining bytes, and a line end if the last line has none."""
        rest, self._rest = self._redact.output(self._rest), b""
        return rest + b"\n" if (rest and not rest.endswith(b"\n")) or self._open else rest


class Lines:
    """Splits a stream into lines: a progress bar's last state, both ends of an endless line.

    Attributes:
        last: The last line that is not blank, complete or not.
    """

    def __init__(self) -> None:
        self.last = b""
        self._incomplete = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in a piece of a :class:`LineBuffer`."""
        *ended, incomplete = (self._incomplete + piece).split(b"\n")
        lines = [_displayed(line) for line in ended]
        displayed = _displayed(incomplete)
        self._incomplete = displayed + (b"\r" if incomplete.endswith(b"\r") else b"")
        last = next((line for line in (displayed, *reversed(lines)) if line.strip()), self.last)
        self.last = last.rpartition(b"\r")[2]
        return lines


def _displayed(line: bytes) -> bytes:
    """Return what a terminal displays in the end of a line with carriage returns.

    A progress bar can overwrite an error, so the errors before it are kept too.
    """
    *before, last = line.rstrip(b"\r").split(b"\r")
    errors = [state for state in before if _ERROR.search(state)]
    return shorten(b"\r".join([*errors, last]))


class _Stream:
    def __init__(self, number: int, redact: Redactor):
        self.number = number
        self.reader, self.writer = os.pipe()
        # 64 KiB by default; fails if the user already has too many large pipes
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.buffer = LineBuffer(redact)
        self.lines = Lines()
        self.records = EngineRecords()


class EngineOutput:
    """Reads the engine's standard output and standard error, and writes both on.

    Args:
        writer: Writes the lines.
        redact: Masks the secrets in them.
        as_json: Whether to write each line as a JSON record.

    Attributes:
        tail: The last lines.
    """

    def __init__(self, writer: LogWriter, redact: Redactor, as_json: bool = False):
        self.tail = Tail()
        self._last = b""
        self._writer = writer
        self._as_json = as_json
        self._streams = [_Stream(number, redact) for number in (1, 2)]
        self._thread = threading.Thread(target=self._read_all, name="engine-output", daemon=True)

    @property
    def stdout(self) -> int:
        """The descriptor that the engine writes its standard output to."""
        return self._streams[0].writer

    @property
    def stderr(self) -> int:
        """The descriptor that the engine writes its standard error to."""
        return self._streams[1].writer

    def start(self) -> None:
        """Start to read; call it once the engine has inherited the pipes."""
        for stream in self._streams:
            os.close(stream.writer)
        self._thread.start()

    def last_line(self) -> str | None:
        """Return the engine's last line, complete or not; None if it has written nothing."""
        return self._last[:LAST_BYTES].decode(errors="replace").strip() or None

    def finish(self, seconds: float) -> None:
        """Wait for the end of the output, but no longer than ``seconds``: a process that outlives
        the engine may keep the pipes open."""
        self._thread.join(seconds)

    def _read_all(self) -> None:
        with selectors.DefaultSelector() as ready:
            for stream in self._streams:
                ready.register(stream.reader, selectors.EVENT_READ, stream)
            while ready.get_map():
                waiting = any(stream.records.waiting for stream in self._streams)
                events = ready.select(QUIET_SECONDS if waiting else None)
                for key, _ in events:
                    if not self._read(key.data):
                        ready.unregister(key.fd)
                        os.close(key.fd)
                if not events:
                    for stream in self._streams:
                        self._write_records(stream, stream.records.flush())

    def _read(self, stream: _Stream) -> bool:
        """Write on what can be read; return False at the end of the stream."""
        data = os.read(stream.reader, READ_BYTES)
        piece = stream.buffer.feed(data) if data else stream.buffer.end()
        lines = stream.lines.feed(piece)
        self._last = stream.lines.last if piece else self._last
        for line in lines:
            self.tail.add(line)
        if self._as_json:
            text = [line.decode(errors="replace") for line in lines]
            self._write_records(stream, stream.records.feed(text, rfc3339(time.time())))
            if not data:
                self._write_records(stream, stream.records.flush())
        elif piece:
            self._writer.write(stream.number, piece, may_wait=True)
        return bool(data)

    def _write_records(self, stream: _Stream, records: list[Record]) -> None:
        if records:
            written = b"".join(record.dump() for record in records)
            self._writer.write(stream.number, written, may_wait=True)
