"""What the engine's processes write: read as it comes, written on without secrets, and kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import threading
import time

from entrypoint.logs.format import EngineRecords, Record, rfc3339
from entrypoint.logs.writer import LogWriter
from entrypoint.secrets import Redactor
from entrypoint.supervision.tail import LINE_BYTES, Tail

READ_BYTES = 1 << 16
PIPE_BYTES = 1 << 18
"""Room in a pipe: what the engine can write while this process has no turn."""
LONGEST_BYTES = 1 << 16
"""A longer line is written on in pieces."""
QUIET_SECONDS = 0.2
"""After which a traceback is taken to have come to its end."""


class LineBuffer:
    """Cuts a stream of bytes into pieces that can be written on.

    A piece ends where a line does, or a progress bar goes back to the line's beginning; only of
    a line that is longer than :data:`LONGEST_BYTES` it is a part, never one that cuts a secret.
    """

    def __init__(self, redact: Redactor):
        self._redact = redact
        self._rest = b""
        self._open = False

    def feed(self, data: bytes) -> bytes:
        """Return what can be written on, masked; often nothing."""
        rest = self._rest + data
        # a carriage return at the very end may be the first half of a line's end
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
        """Return what is left, and the end of the last line where it has none."""
        rest, self._rest = self._redact.output(self._rest), b""
        return rest + b"\n" if (rest and not rest.endswith(b"\n")) or self._open else rest


class Lines:
    """The lines of a stream: of a progress bar its last state, of an endless line its beginning.

    Attributes:
        said: The last one that is not empty, ended or not.
    """

    def __init__(self) -> None:
        self.said = b""
        self._begun = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take what a :class:`LineBuffer` gave; return the lines that end in it."""
        *whole, begun = piece.split(b"\n")
        ended = []
        for line in whole:
            ended.append(_shown(self._begun + line))
            self._begun = b""
            self._say(ended[-1])
        begun = self._begun + begun
        shown = _shown(begun)
        self._begun = shown[:LONGEST_BYTES] + (b"\r" if begun.endswith(b"\r") else b"")
        self._say(shown)
        return ended

    def _say(self, line: bytes) -> None:
        if line.strip():
            self.said = line


def _shown(line: bytes) -> bytes:
    """Return what a terminal would show last of a line with carriage returns in it."""
    return line.rstrip(b"\r").rpartition(b"\r")[2][:LONGEST_BYTES]


class _Stream:
    def __init__(self, number: int, redact: Redactor):
        self.number = number
        self.reader, self.writer = os.pipe()
        # by default 64 KiB; refused where the user has too many large pipes already
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.buffer = LineBuffer(redact)
        self.lines = Lines()
        self.records = EngineRecords()


class EngineOutput:
    """The pipes that the engine's standard output and standard error are, and their reader.

    Args:
        writer: Where the lines are written on to.
        redact: Masks the secrets in them.
        as_json: Whether each becomes a record of JSON.
    """

    def __init__(self, writer: LogWriter, redact: Redactor, as_json: bool = False):
        self.tail = Tail()
        self._said = b""
        self._writer = writer
        self._as_json = as_json
        self._streams = [_Stream(number, redact) for number in (1, 2)]
        self._thread = threading.Thread(target=self._work, name="engine-output", daemon=True)

    @property
    def stdout(self) -> int:
        """The descriptor that the engine writes its standard output to."""
        return self._streams[0].writer

    @property
    def stderr(self) -> int:
        """The descriptor that the engine writes its standard error to."""
        return self._streams[1].writer

    def start(self) -> None:
        """Begin to read; call it once the engine has the pipes."""
        for stream in self._streams:
            os.close(stream.writer)
        self._thread.start()

    def last_line(self) -> str | None:
        """Return what the engine said last, be it half a line; None if it has said nothing."""
        return self._said[:LINE_BYTES].decode(errors="replace").strip() or None

    def finish(self, seconds: float) -> None:
        """Wait until all is read that was written, or for so many seconds: a process that
        outlived the engine may hold the pipes open."""
        self._thread.join(seconds)

    def _work(self) -> None:
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
        """Pass on what there is to read; return whether there may be more."""
        data = os.read(stream.reader, READ_BYTES)
        piece = stream.buffer.feed(data) if data else stream.buffer.end()
        lines = stream.lines.feed(piece)
        self._said = stream.lines.said if piece else self._said
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
