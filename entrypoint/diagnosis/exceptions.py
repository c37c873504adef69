"""Exceptions in the output of a tree of processes: what each said, where, and how grave it was."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from entrypoint.diagnosis.lines import Line

FRAMES_KEPT = 120
"""Lines of frames that are kept of one exception, the innermost ones."""

MESSAGE_LINES = 40
"""Lines that are kept of one exception's message, of its beginning and of its end: a compiler's
whole output can be in it."""

ERRORS = ("ERROR", "CRITICAL")
"""The levels of records that tell of an error."""

_HEADER = re.compile(r"(?P<indent>[\s|+-]{0,40})(?:Exception Group )?Traceback \(most recent call")
_NAME = re.compile(
    r"(?P<name>[A-Za-z_][\w.]{0,200}(?:\([\w.]{1,80}\))?)(?::(?:\s(?P<message>.*))?)?$", re.DOTALL
)
_FRAME = re.compile(r"\s{0,8}File \"[^\"]{1,400}\", line \d+, in ")
# an exception whose traceback is not there: what came before was dropped, or never written
_ALONE = re.compile(
    r"(?:\[\S{1,100}:\d+\] )?(?P<name>(?:[A-Za-z_]\w{0,80}\.){0,8}[A-Z]\w{0,80}(?:Error|Exception)"
    # in a module, as triton.runtime.errors.OutOfResources is
    r"|(?:[a-z_]\w{0,80}\.){1,8}[A-Z]\w{0,80}(?<!Warning)"
    r"): (?P<message>.*)$",
    re.DOTALL,
)
_DIRECT = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
# what other writers to the same terminal begin a line with
_FOREIGN = re.compile(
    r"[IWEF]\d{4} \d\d:|\[[IWEF]\d{4} |Exception ignored in|Process \S{1,80}:$|"
    r"\S{1,200}: \w*Warning: |\S{1,100}:\d+:\d+ \[\d+\] NCCL |Loading |usage: |"
    r"EngineCore (?:failed|encountered|hit) |WorkerProc (?:failed|hit) "
)
_FATAL_HEAD = re.compile(
    r"failed to start|fatal error|hit an exception|Error executing method|failed to run|"
    r"loop has errored|Engine ?Core .{0,40}(?:failed|died)|Failed to start|"
    r"encountered an (?:issue|error)",
    re.IGNORECASE,
)
_HARMLESS_HEAD = re.compile(
    r"Exception ignored in|Exception in ASGI application|exception was never retrieved|"
    r"Failed to (?:load plugin|import) "
)


class Gravity(IntEnum):
    """What became of an exception."""

    HARMLESS = 0
    """Whoever reported it said that nothing came of it, or only one request failed."""
    WARNED = 1
    """Logged below the level of an error: it was dealt with."""
    LOGGED = 2
    """Logged as an error."""
    FATAL = 3
    """Not caught, or logged as the end of its process."""


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception that the output shows.

    Attributes:
        name: Its class, with the module where that is shown.
        message: What it said, several lines maybe.
        process: The process that raised it, empty where the output does not say.
        number: Place of its last line in the output, 0 first.
        gravity: What became of it.
        frames: The traceback's lines, the innermost call last.
        led_to: Whether the next one of the list was raised because of it: ``cause`` where its code
            says so (``raise ... from``), ``context`` where it only came up while this one was
            handled; empty where it is the last of its chain.
    """

    name: str
    message: str
    process: str
    number: int
    gravity: Gravity
    frames: tuple[str, ...]
    led_to: str = ""

    @property
    def text(self) -> str:
        """The exception in one piece, as Python prints it."""
        return f"{self.name}: {self.message}" if self.message else self.name

    @property
    def lines(self) -> tuple[str, ...]:
        """The exception with its traceback, as Python prints it."""
        return ("Traceback (most recent call last):", *self.frames, *self.text.splitlines())


@dataclass(slots=True)
class _Open:
    """A traceback that is being read."""

    indent: int
    place: str
    gravity: Gravity
    frames: list[str] = field(default_factory=list)
    name: str = ""
    message: list[str] = field(default_factory=list)
    number: int = 0

    @property
    def announces(self) -> bool:
        """Whether another exception's words may follow as part of this one's."""
        return bool(self.frames) or self.message[-1].endswith(":")

    def close(self, process: str, led_to: str = "") -> Raised:
        return Raised(
            self.name,
            "\n".join(self.message).strip(),
            process,
            self.number,
            self.gravity,
            tuple(self.frames),
            led_to,
        )


class _Stream:
    """The tracebacks of one process."""

    def __init__(self, process: str, found: list[Raised]):
        self._process = process
        self._found = found
        self._open: _Open | None = None
        self._head = ""
        self._inherited: Gravity | None = None

    def read(self, line: Line, before: str) -> None:
        """Read one line.

        Args:
            line: The line.
            before: The line that stood before it in the whole output.
        """
        header = _HEADER.match(line.text)
        if header:
            self._close()
            gravity = (
                self._inherited if self._inherited is not None else self._gravity(line, before)
            )
            indent = 0 if "+" in header["indent"] else len(header["indent"])
            self._open = _Open(indent, line.place, gravity)
        elif self._open is None and _FRAME.match(line.text):
            # the traceback's head is not there any more
            indent = len(line.text) - len(line.text.lstrip()) - 2
            self._open = _Open(max(0, indent), line.place, self._gravity(line, before))
            self._open.frames.append(line.text)
        elif self._open is None and (alone := _ALONE.match(line.text)):
            gravity = Gravity.LOGGED if line.level in ("", *ERRORS) else Gravity.WARNED
            self._open = _Open(0, line.place, gravity, [], alone["name"], [alone["message"]])
            self._open.number = line.number
        elif self._open is None:
            if line.text.strip():
                self._head = line.text
                if line.text.strip() not in (_DIRECT, _CONTEXT):
                    self._inherited = None
        elif line.place != self._open.place:
            if self._open.name:  # else another thread's record, in between
                self._close()
                self.read(line, before)
        elif self._open.name and not self._open.announces and _ALONE.match(line.text):
            self._close()
            self.read(line, before)
        elif self._open.name:
            self._continue(line)
        else:
            self._frame(line)

    def finish(self) -> None:
        """Take what the end of the output cut off."""
        self._close()

    def _gravity(self, line: Line, before: str) -> Gravity:
        if _HARMLESS_HEAD.search(self._head) or _HARMLESS_HEAD.search(before):
            return Gravity.HARMLESS
        if not line.level:
            return Gravity.FATAL
        if line.level not in ERRORS:
            return Gravity.WARNED
        return Gravity.FATAL if _FATAL_HEAD.search(self._head) else Gravity.LOGGED

    def _frame(self, line: Line) -> None:
        assert self._open is not None
        text = line.text[self._open.indent :]
        if not text or text[0].isspace():
            self._open.frames.append(text)
            if len(self._open.frames) > FRAMES_KEPT:
                del self._open.frames[0]
        elif named := _NAME.match(text):
            self._open.name = named["name"]
            self._open.message = [named["message"] or ""]
            self._open.number = line.number

    def _continue(self, line: Line) -> None:
        assert self._open is not None
        text = line.text[self._open.indent :]
        stripped = text.strip()
        if stripped in (_DIRECT, _CONTEXT):
            gravity = self._open.gravity
            self._close("cause" if stripped == _DIRECT else "context")
            self._inherited = gravity
        elif _FOREIGN.match(text) or (line.level and not line.place):
            self._close()
            self._head = text
        else:
            self._open.message.append(text)
            if len(self._open.message) > 2 * MESSAGE_LINES:
                del self._open.message[MESSAGE_LINES]

    def _close(self, led_to: str = "") -> None:
        if self._open is not None and self._open.name:
            self._found.append(self._open.close(self._process, led_to))
        self._open = None
        self._inherited = None


def find_exceptions(lines: Iterable[Line]) -> list[Raised]:
    """Return the exceptions of an output, in the order in which they were written.

    The processes write in between each other's lines; each is read by itself. What several of
    them write without a name in front is read as one.
    """
    streams: dict[tuple[str, str], _Stream] = {}
    found: list[Raised] = []
    before = ""
    for line in lines:
        if line.stream not in streams:
            streams[line.stream] = _Stream(line.process, found)
        streams[line.stream].read(line, before)
        before = line.text
    for stream in streams.values():
        stream.finish()
    return sorted(found, key=lambda raised: raised.number)
