"""Lines of a log, without the prefixes of loggers and log collectors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from entrypoint.diagnosis.records import LEVELS, LogRecord, parse_record, unescape
from entrypoint.logs.engine_line import EngineLine, parse_line, remove_colors

LINE_CHARACTERS, END_CHARACTERS = 3000, 1000
"""How many characters to examine at the start and at the end of a line."""

PREFIX_CHARACTERS = 100
"""How long the prefix of another program may be, such as the journal's or a terminal's."""

PREFIXES = 50
"""How many formats of prefixes to learn from one output."""

STATES = 1000
"""How many states of a progress bar to search for errors, the last ones."""

NEAR = 8
"""How many lines after a traceback's header to search for its first frame."""

WRAPPED = 3
"""How many programs may have put a line into a record of theirs."""

RECORD, LEARNED = "record", "learned"
"""Sources of lines whose logger does not state one."""

_HEADER = "Traceback (most recent call last):"
_ERROR_WORDS = re.compile(r"Error|ERROR|Exception|CRITICAL|FATAL|Traceback")

_COLLECTOR = re.compile(
    # 2026-02-24T20:21:58.123Z, with or without brackets, and containerd's "stderr F"
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]{0,12}(?:Z|[+-]\d\d:?\d\d)?\]?\s"
    r"(?:std(?:out|err) [FP] )?"
    # docker compose: "vllm-1  | "
    r"|[A-Za-z0-9][\w.-]{0,60} {1,20}\| "
)
_FRAME = re.compile(r"\s{0,40}[|│] ")
"""What precedes each line of an exception group, or of a framed terminal."""
_REPEATED = re.compile(r" \[repeated \d+x across cluster\].*$")
"""What Ray appends to a line that several workers wrote."""
_ESCAPED_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\\{1,4}n")
_LINE_END = re.compile(r"\\{1,4}n")
_CLOSING_QUOTE = re.compile(r"(?<!\\)[\"'](?=[,}\])\s]|$)[^\n]*\Z")
_LEVEL = re.compile(rf"\b(?P<level>{'|'.join(LEVELS)})\b")
_PREFIX = re.compile(r"\s{0,8}\S.{2,200}?(?=Traceback \(most recent call last\):$)")


def read_lines(lines: list[str]) -> Iterator[EngineLine]:
    """Yield the lines of an output; a record of a log yields the lines that it contains."""
    read = [each for number, raw in enumerate(lines) for each in _read(raw, number, WRAPPED)]
    return _without_learned_prefixes(read)


def _read(raw: str, number: int, depth: int) -> Iterator[EngineLine]:
    for state in _states(raw.rstrip("\r\n")):
        line = _parse(state, number)
        record = parse_record(line.text) if depth else None
        if record is not None:
            yield from _lines_of_record(record, line, depth)
        elif (found := _ESCAPED_TRACEBACK.search(line.text)) and depth:
            start, escaped = line.text[: found.start()], line.text[found.start() :]
            parts = (_CLOSING_QUOTE.sub("", part) for part in _LINE_END.split(escaped))
            text = "\n".join(unescape(part) for part in parts)
            yield from _lines_of_record(LogRecord(f"{start}\n{text}"), line, depth)
        else:
            yield line._replace(text=_shorten(line.text))


def _states(line: str) -> list[str]:
    """Return what a line with carriage returns shows: the errors, and its last state."""
    *before, last = line.split("\r")
    return [state for state in before[-STATES:] if _ERROR_WORDS.search(state)] + [last]


def _shorten(text: str) -> str:
    """Return the start and the end of a long line, which state what was raised."""
    if len(text) <= LINE_CHARACTERS + END_CHARACTERS:
        return text
    return f"{text[:LINE_CHARACTERS]} ... {text[-END_CHARACTERS:]}"


def _parse(line: str, number: int) -> EngineLine:
    text = remove_colors(line)
    for prefix in (_COLLECTOR, _FRAME):
        if found := prefix.match(text):
            text = text[found.end() :]
    return parse_line(_REPEATED.sub("", text), number, PREFIX_CHARACTERS)


def _lines_of_record(record: LogRecord, line: EngineLine, depth: int) -> Iterator[EngineLine]:
    """Yield the lines of a record.

    A record of one line can be a collector's, which wraps each line of a traceback separately.
    """
    parts = [part for part in record.text.split("\n") if part.strip()]
    source = str(line.number) if len(parts) > 1 else RECORD
    for part in parts:
        for inner in _read(part, line.number, depth - 1):
            yield inner._replace(
                process=inner.process or line.process or record.process,
                pid=inner.pid or line.pid or record.pid,
                level=inner.level or record.level or line.level,
                source=inner.source or (source if record.level or len(parts) > 1 else ""),
            )


def _without_learned_prefixes(lines: list[EngineLine]) -> Iterator[EngineLine]:
    """Yield the lines without the prefixes that a logger of an unknown format wrote.

    A traceback's header shows them: what stands before it precedes the frames too, except that
    numbers differ. What precedes only the header is a separate line.
    """
    headers = {
        at: found[0]
        for at, line in enumerate(lines)
        if line.text.endswith(_HEADER) and (found := _PREFIX.match(line.text))
    }
    learned: dict[str, re.Pattern[str]] = {}
    for at, prefix in headers.items():
        pattern = re.sub(r"\d+", r"\\d+", re.escape(prefix))
        if pattern not in learned and len(learned) < PREFIXES:
            frame = re.compile(pattern + r"\s+File \"")
            if any(frame.match(line.text) for line in lines[at + 1 : at + 1 + NEAR]):
                learned[pattern] = re.compile(pattern)
    for at, line in enumerate(lines):
        found = next((each for known in learned.values() if (each := known.match(line.text))), None)
        if found:
            level = _LEVEL.search(found[0])
            yield line._replace(
                text=line.text[found.end() :],
                level=line.level or (LEVELS[level["level"]] if level else ""),
                source=line.source or (LEARNED if level else ""),
            )
        elif at in headers:
            yield line._replace(text=headers[at].rstrip())
            yield line._replace(text=_HEADER)
        else:
            yield line
