"""Lines of log, rid of what loggers and collectors put before the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 4000
"""Characters of a line that are looked at: what names a cause stands at a line's beginning."""

LONGEST_JSON = 100_000
"""Characters of a line that is read as JSON: a whole traceback can be in one."""

_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_COLLECTOR = re.compile(
    # 2026-02-24T20:21:58.123Z, with or without brackets, and containerd's "stderr F"
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]{0,12}(?:Z|[+-]\d\d:?\d\d)?\]?\s"
    r"(?:std(?:out|err) [FP] )?"
    # docker compose: "vllm-1  | "
    r"|[A-Za-z0-9][\w.-]{0,60} {1,20}\| "
)
_BAR = re.compile(r"\s{0,40}[|│] ")
"""What stands before the lines of a group of exceptions, and before those of a framed terminal."""

_PROCESS = re.compile(
    r"\((?P<name>[A-Za-z][\w.:= -]{0,80}?)?\s?pid=(?P<pid>\d+)[^)]{0,60}\)(?: |$)"
)
_RANK = re.compile(r"\[(?P<name>rank\d+)\]: ?")
_RECORD = re.compile(
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? "
    r"\[?(?P<place>[^\]\s]{1,200}:\d+)\](?: |$)"
)
_UVICORN = re.compile(r"(?P<level>INFO|WARNING|ERROR|CRITICAL):\s{2,12}")

PREFIX = 100
"""Characters within which another program's own prefix may end: a journal's, a terminal's."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as its process wrote it.

    Attributes:
        number: Its place in the output, 0 first.
        process: The process's name, empty where the line does not say.
        pid: The process's id, empty where the line does not say.
        level: The logger's level, empty where no logger wrote the line.
        place: File and line of the logging call: what lines of one record have in common.
        text: The rest.
    """

    number: int
    process: str
    pid: str
    level: str
    place: str
    text: str

    @property
    def stream(self) -> tuple[str, str]:
        """What the lines of one process have in common."""
        return (self.process, self.pid)


def read_lines(lines: list[str]) -> Iterator[Line]:
    """Yield the lines of an output, those within records of JSON one by one."""
    for number, raw in enumerate(lines):
        # a progress bar writes over itself: what it said last counts
        line = raw.rstrip("\r\n")
        if line.startswith("{") and len(line) <= LONGEST_JSON:
            record = _json_record(line)
            if record is not None:
                yield from _from_json(number, record)
                continue
        if "\r" in line:
            line = line[-LONGEST_JSON:].rpartition("\r")[2]
        yield _bare(number, line[:LONGEST])


def _bare(number: int, text: str) -> Line:
    text = _COLOUR.sub("", text)
    process = pid = ""
    if found := _PROCESS.search(text, 0, PREFIX):
        text = text[found.start() :]
    else:
        for pattern in (_COLLECTOR, _BAR):
            if collected := pattern.match(text):
                text = text[collected.end() :]
    while found := _PROCESS.match(text) or _RANK.match(text):
        process = found["name"] or process
        pid = found.groupdict().get("pid") or pid
        text = text[found.end() :]
    level = place = ""
    if found := _RECORD.search(text, 0, PREFIX):
        level, place, text = found["level"], found["place"], text[found.end() :]
    elif found := _UVICORN.match(text):
        level, text = found["level"], text[found.end() :]
    return Line(number, process, pid, level, place, text)


def _json_record(line: str) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "message" in record else None


def _from_json(number: int, record: dict[str, object]) -> Iterator[Line]:
    level = str(record.get("levelname") or record.get("level") or "").upper()
    process = str(record.get("processName") or record.get("process_name") or "")
    pid = str(record.get("process") or record.get("pid") or "")
    texts = [record.get("message"), record.get("exc_info") or record.get("exception")]
    for text in texts:
        for part in str(text).splitlines() if text else ():
            bare = _bare(number, part[:LONGEST])
            yield Line(
                number, bare.process or process, bare.pid or pid, level, str(number), bare.text
            )
