"""Lines of a log, without the prefixes of loggers and log collectors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from entrypoint.logs.engine_line import EngineLine, parse_line, remove_colors

LINE_CHARACTERS = 4000
"""How many characters of a line are examined; what identifies a cause is at its start."""

JSON_CHARACTERS = 100_000
"""How long a line of JSON may be; it can contain a complete traceback."""

PREFIX_CHARACTERS = 100
"""How long the prefix of another program may be, such as the journal's or a terminal's."""

_COLLECTOR = re.compile(
    # 2026-02-24T20:21:58.123Z, with or without brackets, and containerd's "stderr F"
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]{0,12}(?:Z|[+-]\d\d:?\d\d)?\]?\s"
    r"(?:std(?:out|err) [FP] )?"
    # docker compose: "vllm-1  | "
    r"|[A-Za-z0-9][\w.-]{0,60} {1,20}\| "
)
_FRAME = re.compile(r"\s{0,40}[|│] ")
"""What precedes each line of an exception group, or of a framed terminal."""


def read_lines(lines: list[str]) -> Iterator[EngineLine]:
    """Yield the lines of an output; a JSON record yields the lines of its message."""
    for number, raw in enumerate(lines):
        line = raw.rstrip("\r\n")
        if line.startswith("{") and len(line) <= JSON_CHARACTERS:
            record = _json_record(line)
            if record is not None:
                yield from _lines_of_record(record, number)
                continue
        # a progress bar overwrites itself, so only its last state counts
        yield _parse(line[-JSON_CHARACTERS:].rpartition("\r")[2] if "\r" in line else line, number)


def _parse(line: str, number: int) -> EngineLine:
    text = remove_colors(line[:LINE_CHARACTERS])
    for prefix in (_COLLECTOR, _FRAME):
        if found := prefix.match(text):
            text = text[found.end() :]
    return parse_line(text, number, PREFIX_CHARACTERS)


def _json_record(line: str) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "message" in record else None


def _lines_of_record(record: dict[str, object], number: int) -> Iterator[EngineLine]:
    level = str(record.get("levelname") or record.get("level") or "").upper()
    process = str(record.get("processName") or record.get("process_name") or "")
    pid = str(record.get("process") or record.get("pid") or "")
    for text in (record.get("message"), record.get("exc_info") or record.get("exception")):
        for part in str(text).splitlines() if text else ():
            line = _parse(part, number)
            yield line._replace(
                process=line.process or process,
                pid=line.pid or pid,
                level=level,
                source=str(number),
            )
