"""Log records that a formatter wrote as data: JSON, a Python dict, or logfmt.

Formatters agree neither on the names of the fields nor on their depth, so a field's value decides
what it is, and its name only helps.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

RECORD_CHARACTERS = 100_000
"""How long a record may be; it can contain several complete tracebacks."""

FIELDS, DEPTH = 300, 6
"""How many fields of a record to read, and how deep they may be nested."""

LEVELS = {
    **{level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")},
    **dict.fromkeys(("TRACE", "NOTICE"), "INFO"),
    **{"WARN": "WARNING", "ERR": "ERROR", "EXCEPTION": "ERROR"},
    **dict.fromkeys(("FATAL", "ALERT", "EMERGENCY", "PANIC", "DPANIC"), "CRITICAL"),
}
"""Python's names of the levels, by the names that loggers write."""

_MESSAGE = (
    *("message", "msg", "event", "log", "textpayload", "text", "body", "stringvalue"),
    *("full_message", "short_message", "@message", "m", "@m"),
)
"""The last parts of the names of a message, the most specific name first."""
_LEVEL = ("levelname", "level", "severity", "severitytext", "lvl", "log_level", "@l", "level_name")
_PROCESS = ("processname", "process_name", "process.name", "vllm_process_name")
_PID = ("process", "pid", "process.pid", "process_id", "processid")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^\s*File \"", re.MULTILINE)
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w{0,80}\.){0,8}[A-Z]\w{0,80}")
_PAIR = re.compile(r"([\w@.-]{1,60})=(\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|[^\s\"']*)(?:\s+|$)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}

HEADER = "Traceback (most recent call last):"
CAUSE = "The above exception was the direct cause of the following exception:"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What a record states.

    Attributes:
        text: Its message, followed by its exceptions as Python prints them.
        level: The level as Python names it, empty if the record has none.
        process: The process's name, empty if the record does not state it.
        pid: The process's ID, empty if the record does not state it.
    """

    text: str
    level: str = ""
    process: str = ""
    pid: str = ""


def parse_record(text: str) -> LogRecord | None:
    """Return the record that a line is, None if it is text for people."""
    fields: list[tuple[str, object]] | None = None
    if text.startswith("{"):
        data = _load(text[:RECORD_CHARACTERS])
        fields = list(_flatten("", data, DEPTH))[:FIELDS] if isinstance(data, dict) else None
    elif "=" in text:
        fields = _pairs(text[:RECORD_CHARACTERS])
    return _record(fields) if fields else None


def unescape(text: str) -> str:
    """Return a text with the escapes of JSON and Python replaced by their characters."""

    def character(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        return _ESCAPED.get(found[2], found[2])

    return _ESCAPE.sub(character, text)


def _load(text: str) -> object:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    if not text.startswith("{'"):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _pairs(text: str) -> list[tuple[str, object]] | None:
    """Return the fields of a line of logfmt, None if it is not one."""
    fields: list[tuple[str, object]] = []
    at = 0
    while found := _PAIR.match(text, at):
        value = found[2]
        quoted = value[:1] in ('"', "'")
        fields.append((found[1].lower(), unescape(value.strip(value[0])) if quoted else value))
        at = found.end()
    names = {name for name, _ in fields}
    return fields if len(fields) > 1 and names & {*_MESSAGE, *_LEVEL} else None


def _flatten(name: str, value: object, depth: int) -> Iterator[tuple[str, object]]:
    """Yield the fields of a record, with dots between the parts of a nested name."""
    if isinstance(value, dict) and depth:
        if stated := _structured_exception(value):
            yield f"{name}.exception", stated
        for key, inner in list(value.items())[:FIELDS]:
            yield from _flatten(f"{name}.{key}".lstrip(".").lower(), inner, depth - 1)
    elif isinstance(value, list) and depth:
        if value and all(isinstance(line, str) for line in value):
            yield name, "\n".join(line.rstrip("\n") for line in value)
        elif chain := [stated for each in value if (stated := _structured_exception(each))]:
            # the exception that ended the process first, then its causes
            yield name, f"\n\n{CAUSE}\n\n".join(reversed(chain))
    else:
        yield name, value


def _structured_exception(value: object) -> str:
    """Return an exception that a record has as data, as Python prints it; else an empty text."""
    if not isinstance(value, dict):
        return ""
    named = {str(key).lower().rpartition(".")[2]: each for key, each in value.items()}
    kind = next((named[key] for key in ("exc_type", "type", "class") if key in named), None)
    said = next((named[key] for key in ("exc_value", "message", "value") if key in named), None)
    if not isinstance(kind, str) or not isinstance(said, str) or not _EXCEPTION.fullmatch(kind):
        return ""
    if any(isinstance(each, str) and _TRACEBACK.search(each) for each in named.values()):
        return ""  # the traceback states it too
    frames = named.get("frames") or named.get("stacktrace") or ()
    lines = [
        f'  File "{frame.get("filename", "")}", line {frame.get("lineno", 0)}, '
        f"in {frame.get('name', frame.get('function', ''))}"
        for frame in (frames if isinstance(frames, list) else ())
        if isinstance(frame, dict)
    ]
    return "\n".join([HEADER, *lines, f"{kind}: {said}"])


def _record(fields: list[tuple[str, object]]) -> LogRecord | None:
    texts = [(name, value) for name, value in fields if isinstance(value, str) and value]
    level = _first(fields, _LEVEL).upper()
    if level not in LEVELS:
        level = next((value.upper() for _, value in texts if value.upper() in LEVELS), "")
    tracebacks = [value for _, value in texts if _TRACEBACK.search(value)]
    message = _first(fields, _MESSAGE)
    if not message and not tracebacks:
        if not level:
            return None
        message = max((value for _, value in texts), key=len, default="")
    parts = [message] if message else []
    parts += [each for each in tracebacks if each not in message]
    return LogRecord(
        "\n".join(dict.fromkeys(parts)),
        LEVELS.get(level, ""),
        _first(fields, _PROCESS),
        _first(fields, _PID),
    )


def _first(fields: list[tuple[str, object]], names: tuple[str, ...]) -> str:
    """Return the value of the first of these names, given completely or as the last part."""
    simple = {
        name: str(value)
        for name, value in reversed(fields)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    }
    last = {name.rpartition(".")[2]: value for name, value in simple.items()}
    return next((known[name] for known in (simple, last) for name in names if name in known), "")
