"""Processes that died: what the output states about them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from entrypoint.logs.engine_line import EngineLine

_KILLED = (
    # vLLM's executor: Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down
    re.compile(
        r"(?:proc|process) (?P<name>\S{1,80}) died unexpectedly \(exit code: (?P<code>-?\d+)"
    ),
    # vLLM's front end: Failed core proc(s): {'EngineCore_DP0': -9}
    re.compile(
        r"(?:[Ff]ailed|failed) \w+ proc\(s\): \{[^}]{0,300}?'(?P<name>[^']{1,80})': (?P<code>-\d+)"
    ),
    # older versions: Worker VllmWorkerProcess pid 1159 died, exit code: -6
    re.compile(r"Worker (?P<name>\S{1,80}) pid \d+ died, exit code: (?P<code>-?\d+)"),
    re.compile(
        r"[Pp]roc(?:ess)? (?P<name>\S{1,80}) \(PID: \d+\) (?:died|exited) with exit ?code:? "
        r"(?P<code>-?\d+)"
    ),
)
# without an exit code: the writer does not know why the process ended
_UNEXPLAINED = re.compile(
    r"(?:[Pp]roc(?:ess)?) (?:\S{1,80}|\(pid \d+\)) died|MQLLMEngine is already dead|"
    r"Server process died before responding|A worker died or was killed|"
    r"worker process has died"
)
_FATAL_SIGNAL = (
    (re.compile(r"Fatal Python error: Segmentation fault|^!{3,} Segfault"), signal.SIGSEGV),
    (re.compile(r"Fatal Python error: Bus error"), signal.SIGBUS),
    (re.compile(r"Fatal Python error: Illegal instruction"), signal.SIGILL),
    (re.compile(r"Fatal Python error: Aborted"), signal.SIGABRT),
)
# each line that reports a death has one of these words, which are quicker to find than a pattern
_KILLED_WORDS = ("died", "proc(s)", "exited with", "Fatal Python error", "!!! Segfault")
_UNEXPLAINED_WORDS = ("died", "already dead")


@dataclass(frozen=True, slots=True)
class Death:
    """A process that a signal ended, by its own last words or as another process reports.

    Attributes:
        process: Its name, empty if the output does not state it.
        number: The signal.
    """

    process: str
    number: int


def find_deaths(lines: Iterable[EngineLine]) -> list[Death]:
    """Return the processes that a signal ended, in the order in which the output reports them."""
    found: dict[Death, None] = {}
    for line in lines:
        if not any(word in line.text for word in _KILLED_WORDS):
            continue
        for pattern in _KILLED:
            if (match := pattern.search(line.text)) and (code := int(match["code"])) < 0:
                found.setdefault(Death(match["name"], -code))
        for pattern, number in _FATAL_SIGNAL:
            if pattern.search(line.text):
                found.setdefault(Death(line.process, number))
    return list(found)


def find_unexplained_death(lines: Iterable[EngineLine]) -> str:
    """Return the first line that reports a dead process without a reason, empty without one."""
    for line in lines:
        if any(word in line.text for word in _UNEXPLAINED_WORDS) and _UNEXPLAINED.search(line.text):
            return line.text
    return ""
