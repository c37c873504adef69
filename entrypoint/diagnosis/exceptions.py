"""The exceptions in the output of several processes: what was raised, where, how severe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from entrypoint.logs.engine_line import ERROR_LEVELS, LINKS, TRACEBACK, EngineLine, Link

FRAME_LINES = 120
"""How many lines of a traceback's frames to keep, the innermost ones."""

MESSAGE_LINES = 40
"""How many lines of a message to keep at its start and at its end. A message can contain the
complete output of a compiler."""

_NAME = re.compile(
    r"(?P<name>[A-Za-z_][\w.]{0,200}(?:\([\w.]{1,80}\))?)(?::(?:\s(?P<message>.*))?)?$", re.DOTALL
)
_FRAME = re.compile(r"\s{0,8}File \"[^\"]{1,400}\", line \d+, in ")
# an exception without a traceback: the lines before it were dropped or never written
_WITHOUT_TRACEBACK = re.compile(
    r"(?:\[\S{1,100}:\d+\] )?(?P<name>(?:[A-Za-z_]\w{0,80}\.){0,8}[A-Z]\w{0,80}(?:Error|Exception)"
    # with its module, such as triton.runtime.errors.OutOfResources
    r"|(?:[a-z_]\w{0,80}\.){1,8}[A-Z]\w{0,80}(?<!Warning)"
    r"): (?P<message>.*)$",
    re.DOTALL,
)
# how lines of other writers to the same terminal start
_OTHER_WRITER = re.compile(
    r"[IWEF]\d{4} \d\d:|\[[IWEF]\d{4} |Exception ignored in|Process \S{1,80}:$|"
    r"\S{1,200}: \w*Warning: |\S{1,100}:\d+:\d+ \[\d+\] NCCL |Loading |usage: |"
    r"EngineCore (?:failed|encountered|hit) |WorkerProc (?:failed|hit) "
)
_FATAL_HEADING = re.compile(
    r"failed to start|fatal error|hit an exception|Error executing method|failed to run|"
    r"loop has errored|Engine ?Core .{0,40}(?:failed|died)|Failed to start|"
    r"encountered an (?:issue|error)",
    re.IGNORECASE,
)
_HARMLESS_HEADING = re.compile(
    r"Exception ignored in|Exception in ASGI application|exception was never retrieved|"
    r"Failed to (?:load plugin|import) "
)


class Severity(IntEnum):
    """How an exception affected its process."""

    HARMLESS = 0
    """Its process continued, or only one request failed."""
    WARNED = 1
    """Its process handled it, and logged it below the level of an error."""
    LOGGED = 2
    """Its process logged it as an error."""
    FATAL = 3
    """Its process did not catch it, or logged it as the reason for exiting."""


@dataclass(frozen=True, slots=True)
class LoggedException:
    """An exception in the output.

    Attributes:
        name: Its class, with the module if the output shows it.
        message: Its message, which can have several lines.
        process: The process that raised it, empty if the output does not state it.
        number: The position of its first line after the traceback, in the output.
        severity: How it affected its process.
        frames: The lines of the traceback, the innermost call last.
        link: How it led to the next exception in the list. ``cause``: the code raised that one
            from it (``raise ... from``). ``context``: that one was raised while it was handled.
            Empty for the last of a chain.
    """

    name: str
    message: str
    process: str
    number: int
    severity: Severity
    frames: tuple[str, ...]
    link: Link = ""

    @property
    def text(self) -> str:
        """The exception as Python prints it."""
        return f"{self.name}: {self.message}" if self.message else self.name

    @property
    def source(self) -> str:
        """The line of code that raised it, empty if the output does not show it."""
        code = [line.strip() for line in self.frames if line.strip(" ^~")]
        return code[-1] if code and not _FRAME.match(self.frames[-1]) else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The exception with its traceback, as Python prints it."""
        return ("Traceback (most recent call last):", *self.frames, *self.text.splitlines())


@dataclass(slots=True)
class _Traceback:
    """A traceback, as far as it has been read."""

    indent: int
    source: str
    severity: Severity
    frames: list[str] = field(default_factory=list)
    name: str = ""
    message: list[str] = field(default_factory=list)
    number: int = 0

    @property
    def continues(self) -> bool:
        """Whether a line that looks like another exception can be part of the message."""
        return bool(self.frames) or self.message[-1].endswith(":")

    def add_frame(self, line: EngineLine) -> None:
        text = line.text[self.indent :]
        if not text or text[0].isspace():
            self.frames.append(text)
            if len(self.frames) > FRAME_LINES:
                del self.frames[0]
        elif found := _NAME.match(text):
            self.name = found["name"]
            self.message = [found["message"] or ""]
            self.number = line.number

    def add_message(self, text: str) -> None:
        self.message.append(text)
        if len(self.message) > 2 * MESSAGE_LINES:
            del self.message[MESSAGE_LINES]


class _Stream:
    """Collects the exceptions in one process's output.

    Args:
        process: The process's name.
        found: The list that the exceptions are added to.
    """

    def __init__(self, process: str, found: list[LoggedException]):
        self._process = process
        self._found = found
        self._traceback: _Traceback | None = None
        self._heading = ""
        self._chained: Severity | None = None

    def read(self, line: EngineLine, previous: str) -> None:
        """Read one line.

        Args:
            line: The line.
            previous: The line before it, which another process may have written.
        """
        if header := TRACEBACK.match(line.text):
            severity = self._rate(line, previous) if self._chained is None else self._chained
            self.close()
            indent = 0 if "+" in header["indent"] else len(header["indent"])
            self._traceback = _Traceback(indent, line.source, severity)
        elif self._traceback is None:
            self._read_outside(line, previous)
        elif line.source != self._traceback.source:
            if self._traceback.name:  # otherwise, another thread's record between the frames
                self._reread(line, previous)
        elif not self._traceback.name:
            self._traceback.add_frame(line)
        elif not self._traceback.continues and _WITHOUT_TRACEBACK.match(line.text):
            self._reread(line, previous)
        else:
            self._read_message(self._traceback, line)

    def close(self, link: Link = "") -> None:
        """End the current traceback."""
        current = self._traceback
        if current is not None and current.name:
            self._found.append(
                LoggedException(
                    current.name,
                    "\n".join(current.message).strip(),
                    self._process,
                    current.number,
                    current.severity,
                    tuple(current.frames),
                    link,
                )
            )
        self._traceback = None
        self._chained = None

    def _reread(self, line: EngineLine, previous: str) -> None:
        self.close()
        self.read(line, previous)

    def _read_outside(self, line: EngineLine, previous: str) -> None:
        text = line.text.strip()
        if _FRAME.match(line.text):
            # the lines above it, with the traceback's header, were dropped
            indent = max(0, len(line.text) - len(line.text.lstrip()) - 2)
            severity = self._rate(line, previous)
            self._traceback = _Traceback(indent, line.source, severity, [line.text])
        elif found := _WITHOUT_TRACEBACK.match(line.text):
            severity = Severity.LOGGED if line.level in ("", *ERROR_LEVELS) else Severity.WARNED
            self._traceback = _Traceback(
                0, line.source, severity, [], found["name"], [found["message"]], line.number
            )
        elif text:
            self._heading = line.text
            if text not in LINKS:
                self._chained = None

    def _read_message(self, current: _Traceback, line: EngineLine) -> None:
        text = line.text[current.indent :]
        if link := LINKS.get(text.strip()):
            self.close(link)
            self._chained = current.severity
        elif _OTHER_WRITER.match(text) or (line.level and not line.source):
            self.close()
            self._heading = text
        else:
            current.add_message(text)

    def _rate(self, line: EngineLine, previous: str) -> Severity:
        """Return how severe an exception is, by the level and by the line above it."""
        if _HARMLESS_HEADING.search(self._heading) or _HARMLESS_HEADING.search(previous):
            return Severity.HARMLESS
        if not line.level:
            return Severity.FATAL
        if line.level not in ERROR_LEVELS:
            return Severity.WARNED
        return Severity.FATAL if _FATAL_HEADING.search(self._heading) else Severity.LOGGED


def find_exceptions(lines: Iterable[EngineLine]) -> list[LoggedException]:
    """Return the exceptions in an output, in the order in which they were written.

    The processes' lines may be interleaved. Lines that state no process are read as one process's.
    """
    streams: dict[tuple[str, str], _Stream] = {}
    found: list[LoggedException] = []
    previous = ""
    for line in lines:
        if line.stream not in streams:
            streams[line.stream] = _Stream(line.process, found)
        streams[line.stream].read(line, previous)
        previous = line.text
    for stream in streams.values():
        stream.close()
    return sorted(found, key=lambda exception: exception.number)
