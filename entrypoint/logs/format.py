"""Log lines as records of JSON (LOG_FORMAT=json): this process's own, and the engine's.

One record a line: ``time`` (RFC 3339, when it was read or logged), ``level``, ``message``, and
where the line says so ``source`` (the logger, or file and line), ``process`` and ``pid``, and
``request_id``. A traceback is one record, from its first line to the exception; one that follows
from another ("During handling of the above ...") belongs to the same. What vLLM logs in several
lines is otherwise several records: its prefix is on each of them. Lines of the engine's that no
logger wrote have the level ``info``.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

BLOCK_LINES = 1000
"""A longer traceback is cut into several records."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PROCESS = re.compile(r"\((?P<process>[A-Za-z][\w.: -]*?) pid=(?P<pid>\d+)\) ?")
_LOGGED = re.compile(
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? "
    r"\[(?P<source>[^\]]+)\] ?"
)
_UVICORN = re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL): {2,}")
_REQUEST = re.compile(
    r" in \d+\.\d{3} s, request (?P<answered>[\w.:-]+)(?:,|$)"
    r"|\b(?:[Rr]eceived|[Aa]dded|[Ff]inished|[Cc]ompleted|[Aa]borted) request(?:\(s\))? "
    r"(?P<worked_on>[\w.:-]*\w)"
)
_TRACEBACK = re.compile(r"[\s|+]*(?:Exception Group )?Traceback \(most recent call last\):")
_LINK = re.compile(r"During handling of the above|The above exception was the direct cause")


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        time: As RFC 3339 has it, in UTC.
        level: ``debug`` to ``critical``.
        message: The text.
        source: The logger, or file and line of the call.
        process: The process's name, as vLLM calls it.
        pid: Its id.
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
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(known, ensure_ascii=False).encode(errors="replace") + b"\n"


def rfc3339(seconds: float) -> str:
    """Return a time in seconds since the epoch as text, to the millisecond."""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def engine_record(line: str, time: str) -> Record:
    """Return the record of one line that one of the engine's processes wrote.

    Args:
        line: The line, without its end.
        time: When it was read.
    """
    text = _COLOUR.sub("", line)
    process = _PROCESS.match(text)
    if process:
        text = text[process.end() :]
    logged = _LOGGED.match(text) or _UVICORN.match(text)
    if logged:
        text = text[logged.end() :]
    request = _REQUEST.search(text)
    return Record(
        time=time,
        level=logged["level"].lower() if logged else "info",
        message=text,
        source=logged.groupdict().get("source") if logged else None,
        process=process["process"] if process else None,
        pid=int(process["pid"]) if process else None,
        request_id=(request["answered"] or request["worked_on"]) if request else None,
    )


@dataclass(slots=True)
class _Block:
    """A traceback, so far."""

    first: Record
    lines: list[str] = field(default_factory=list)
    framed: bool = False
    """Whether the last line was one of a frame: the exception's follows."""

    def takes(self, record: Record) -> bool:
        """Whether a line of the same process belongs to it; if so, it is added."""
        text = record.message
        if (record.source, record.level) != (self.first.source, self.first.level):
            return False
        if len(self.lines) >= BLOCK_LINES:
            return False
        indented = text.startswith((" ", "\t"))
        linked = not text or _TRACEBACK.match(text) or _LINK.match(text)
        # what a logger writes carries its prefix in every line, a message's further ones too
        if not (indented or linked or self.framed or self.first.source):
            return False
        self.framed = indented
        self.lines.append(text)
        return True

    def record(self) -> Record:
        level = "error" if self.first.source is None else self.first.level
        return replace(self.first, level=level, message="\n".join(self.lines).rstrip())


class EngineRecords:
    """Makes records of the engine's lines: tracebacks whole, each process's for itself."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str | None, int | None], _Block] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is a traceback whose end has not come."""
        return bool(self._blocks)

    def feed(self, lines: Sequence[str], time: str) -> list[Record]:
        """Return the records that are whole with these lines.

        Args:
            lines: Without their ends.
            time: When they were read.
        """
        done: list[Record] = []
        for line in lines:
            record = engine_record(line, time)
            key = (record.process, record.pid)
            block = self._blocks.get(key)
            if block is not None:
                if block.takes(record):
                    continue
                done.append(self._blocks.pop(key).record())
            if _TRACEBACK.match(record.message):
                self._blocks[key] = _Block(record, [record.message])
            elif record.message:
                done.append(record)
        return done

    def flush(self) -> list[Record]:
        """Return the tracebacks that wait for their end."""
        done = [block.record() for block in self._blocks.values()]
        self._blocks.clear()
        return done


class JsonFormatter(logging.Formatter):
    """Formats this process's own log records."""

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
    """Formats this process's own log records as vLLM formats its."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(asctime)s [%(name)s] %(message)s", "%m-%d %H:%M:%S")
