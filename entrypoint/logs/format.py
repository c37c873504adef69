"""Log lines as JSON records (LOG_FORMAT=json), both this process's own and the engine's.

A record has ``time`` (RFC 3339; when the line was read or logged), ``level`` and ``message``, and
``source`` (the logger, or file and line), ``process``, ``pid`` and ``request_id`` if the line
states them. A traceback is one record, from its header to the exception, with the tracebacks
chained to it ("During handling of the above ..."). Any other message of several lines becomes
several records, because vLLM puts its prefix on each line. An engine line without a level is
logged as ``info``.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from entrypoint.logs.engine_line import LINKS, TRACEBACK, parse_line, remove_colors

TRACEBACK_LINES = 1000
"""A longer traceback is split into several records."""

_REQUEST = re.compile(
    r" in \d+\.\d{3} s, request (?P<answered>[\w.:-]+)(?:,|$)"
    r"|\b(?:[Rr]eceived|[Aa]dded|[Ff]inished|[Cc]ompleted|[Aa]borted) request(?:\(s\))? "
    r"(?P<worked_on>[\w.:-]*\w)"
)


class Record(NamedTuple):
    """One log record.

    Attributes:
        time: The time in UTC, as in RFC 3339.
        level: ``debug`` to ``critical``.
        message: The text.
        source: The logger, or file and line of the logging call.
        process: The process's name.
        pid: The process's ID.
        request_id: The request that the line is about.
    """

    time: str
    level: str
    message: str
    source: str | None = None
    process: str | None = None
    pid: int | None = None
    request_id: str | None = None

    def dump(self) -> bytes:
        """Return the record as a line of JSON."""
        known = {name: value for name, value in self._asdict().items() if value is not None}
        return json.dumps(known, ensure_ascii=False).encode(errors="replace") + b"\n"


def rfc3339(seconds: float) -> str:
    """Return a time in seconds since the epoch as text, with milliseconds."""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def engine_record(line: str, time: str) -> Record:
    """Return the record of one line of the engine's output.

    Args:
        line: The line, without its line ending.
        time: When it was read.
    """
    text, process, pid, level, source, _ = parse_line(remove_colors(line))
    request = _REQUEST.search(text) if "request" in text else None
    return Record(
        time,
        level.lower() or "info",
        text,
        source or None,
        process or None,
        int(pid) if pid else None,
        (request["answered"] or request["worked_on"]) if request else None,
    )


@dataclass(slots=True)
class _Traceback:
    """The lines of a traceback that have been read so far."""

    first: Record
    lines: list[str] = field(default_factory=list)
    in_frame: bool = False
    """Whether the last line belongs to a frame, so that the exception can follow."""

    def add(self, record: Record) -> bool:
        """Add a line of the same process if it belongs to the traceback; return whether it does."""
        text = record.message
        if (record.source, record.level) != (self.first.source, self.first.level):
            return False
        if len(self.lines) >= TRACEBACK_LINES:
            return False
        indented = text.startswith((" ", "\t"))
        chained = not text or TRACEBACK.match(text) or text.strip() in LINKS
        # a logger puts its prefix on every line, also on the further lines of a message
        if not (indented or chained or self.in_frame or self.first.source):
            return False
        self.in_frame = indented
        self.lines.append(text)
        return True

    def record(self) -> Record:
        level = "error" if self.first.source is None else self.first.level
        return self.first._replace(level=level, message="\n".join(self.lines).rstrip())


class EngineRecords:
    """Turns the engine's lines into records, and the lines of a traceback into one record.

    The processes' tracebacks may be interleaved.
    """

    def __init__(self) -> None:
        self._tracebacks: dict[tuple[str | None, int | None], _Traceback] = {}

    @property
    def waiting(self) -> bool:
        """Whether a traceback is incomplete."""
        return bool(self._tracebacks)

    def feed(self, lines: Sequence[str], time: str) -> list[Record]:
        """Return the records that these lines complete.

        Args:
            lines: The lines, without their line endings.
            time: When they were read.
        """
        done: list[Record] = []
        for line in lines:
            record = engine_record(line, time)
            key = (record.process, record.pid)
            traceback = self._tracebacks.get(key)
            if traceback is not None:
                if traceback.add(record):
                    continue
                done.append(self._tracebacks.pop(key).record())
            if TRACEBACK.match(record.message):
                self._tracebacks[key] = _Traceback(record, [record.message])
            elif record.message:
                done.append(record)
        return done

    def flush(self) -> list[Record]:
        """Return the tracebacks that are still incomplete."""
        done = [traceback.record() for traceback in self._tracebacks.values()]
        self._tracebacks.clear()
        return done


class JsonFormatter(logging.Formatter):
    """Formats this process's log records as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return (
            Record(
                time=rfc3339(record.created),
                level=record.levelname.lower(),
                message=message,
                source=record.name,
                process="entrypoint",
                pid=os.getpid(),
            )
            .dump()
            .decode()
            .rstrip("\n")
        )


class TextFormatter(logging.Formatter):
    """Formats this process's log records in vLLM's format."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(asctime)s [%(name)s] %(message)s", "%m-%d %H:%M:%S")
