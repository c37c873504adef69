"""The grammar of the engine's output: the prefixes of a line, and how a traceback is written.

vLLM's processes write ``(EngineCore pid=7) ERROR 11-21 06:00:00 [core.py:113] text``; uvicorn
writes ``INFO:     text``, torchrun ``[rank0]: text``, and Ray adds another prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

ERROR_LEVELS = ("ERROR", "CRITICAL")

TRACEBACK = re.compile(
    r"(?P<indent>[\s|+-]{0,40})(?:Exception Group )?Traceback \(most recent call last\)"
)
Link = Literal["", "cause", "context"]
LINKS: Mapping[str, Link] = {
    "The above exception was the direct cause of the following exception:": "cause",
    "During handling of the above exception, another exception occurred:": "context",
}
"""What Python prints between two chained tracebacks."""

_COLOR = re.compile(
    # with the escape character, or with what a viewer or a collector made of it
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|"
    r"(?:\^\[|ESC|#033|\\x1b|\\u001b)?\[\d{1,3}(?:;\d{1,3}){0,4}m"
)
_PROCESS = re.compile(
    r"\((?P<process>[A-Za-z][\w.:= -]{0,80}?)?\s?pid=(?P<pid>\d{1,10})[^)]{0,60}\)(?: |$)"
)
_RANK = re.compile(r"\[(?P<process>rank\d+)\]: ?")
_LEVEL = r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)"
_VLLM = re.compile(
    _LEVEL + r" (?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? "
    # older versions of vLLM leave the opening bracket out
    r"(?:\[|(?=\S{1,200}:\d+\]))(?P<source>[^\]\s]{1,200})\](?: |$)"
)
_UVICORN = re.compile(_LEVEL + r": {2,}")


class EngineLine(NamedTuple):
    """One line of the engine's output, split into its prefix and its text.

    Attributes:
        text: The line without its prefix and without colors.
        process: The process's name, empty if the line does not state it.
        pid: The process's ID, empty if the line does not state it.
        level: The level in capitals, empty if no logger wrote the line.
        source: File and line of the logging call, the same for all lines of one record.
        number: The line's position in the output, if that is known.
    """

    text: str
    process: str = ""
    pid: str = ""
    level: str = ""
    source: str = ""
    number: int = 0

    @property
    def stream(self) -> tuple[str, str]:
        """The process that wrote the line."""
        return (self.process, self.pid)


def remove_colors(text: str) -> str:
    """Return the text without the terminal's escape sequences."""
    return _COLOR.sub("", text) if "\x1b" in text or "[" in text else text


def parse_line(text: str, number: int = 0, search: int = 0) -> EngineLine:
    """Split a line into its prefix and its text.

    Args:
        text: The line, without its line ending and without colors.
        number: The line's position in the output.
        search: In how many characters to search for vLLM's prefix, and drop what precedes it. 0:
            the prefix must come first.
    """
    process = pid = level = source = ""
    if search and (found := _PROCESS.search(text, 0, search)):
        text = text[found.start() :]
    while text[:1] in ("(", "[") and (found := _PROCESS.match(text) or _RANK.match(text)):
        process = found["process"] or process
        pid = found.groupdict().get("pid") or pid
        text = text[found.end() :]
    if found := _VLLM.search(text, 0, search) if search else _VLLM.match(text):
        level, source, text = found["level"], found["source"], text[found.end() :]
    elif found := _UVICORN.match(text):
        level, text = found["level"], text[found.end() :]
    return EngineLine(text, process, pid, level, source, number)
