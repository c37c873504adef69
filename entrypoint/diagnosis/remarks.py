"""What an output says of a failure without an exception: error lines, and processes that died."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from entrypoint.diagnosis.exceptions import ERRORS
from entrypoint.diagnosis.lines import Line

# what native code and other programs write as they fail
_NOTABLE = re.compile(
    r"\s{0,8}(?:Fatal Python error|terminate called|what\(\): |Bus error|Segmentation fault|"
    r"Illegal instruction|Aborted|!{3,} Segfault|\*{3} SIG|free\(\): |double free|malloc\(\): |"
    r"libgomp: |OMP: Error|OpenBLAS [^\n]{0,40}(?:fail|error)|Memory access fault|"
    r"\S{0,120}(?:: | )error: |\S{1,200}: error while loading|\S{1,80}: fatal error|"
    r"Value error, |\S{1,200}(?: \(deleted\))?: cannot open shared object file|"
    r"\[E[ \d]|\w{1,60}(?:Error|Exception)\([\"']|HW Exception by GPU|"
    r"Failed: Cuda error |LLVM ERROR|realloc\(\): )|"
    r".{0,120}NCCL WARN|.{0,120}unsatisfied condition: |"
    # what other programs' loggers put in front, and those that wrap vLLM
    r".{0,60}rocdevice\.cpp|.{0,80}gcs_rpc_client|.{0,80}\[(?:error|fatal|critical)\]|"
    r".{0,80}\b(?:ERROR|FATAL|CRITICAL)\b|.{0,80}Uncaught exception"
)
_DIED = (
    # vLLM's executor: Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down
    re.compile(
        r"(?:proc|process) (?P<name>\S{1,80}) died unexpectedly \(exit code: (?P<code>-?\d+)"
    ),
    # its front end: Failed core proc(s): {'EngineCore_DP0': -9}
    re.compile(
        r"(?:[Ff]ailed|failed) \w+ proc\(s\): \{[^}]{0,300}?'(?P<name>[^']{1,80})': (?P<code>-\d+)"
    ),
    # before it: Worker VllmWorkerProcess pid 1159 died, exit code: -6
    re.compile(r"Worker (?P<name>\S{1,80}) pid \d+ died, exit code: (?P<code>-?\d+)"),
    re.compile(
        r"[Pp]roc(?:ess)? (?P<name>\S{1,80}) \(PID: \d+\) (?:died|exited) with exit ?code:? "
        r"(?P<code>-?\d+)"
    ),
)
# the same without the code that it ended with
_GONE = re.compile(
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
_DEATH_WORDS = ("died", "proc(s)", "exited with", "Fatal Python error", "!!! Segfault")
"""One of these is in each line that tells of a death: quicker to look for than the patterns."""

_GONE_WORDS = ("died", "already dead")

REMARKS_KEPT = 200
"""Error lines that are looked at, the last ones."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that tells of a failure."""

    text: str
    process: str
    number: int


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended by a signal, as another one or its own last words tell.

    Attributes:
        process: Its name, empty where the output does not say.
        number: The signal.
    """

    process: str
    number: int


def find_remarks(lines: Iterable[Line]) -> list[Remark]:
    """Return the error lines that are not part of a traceback, each text once."""
    found: dict[str, Remark] = {}
    for line in lines:
        text = line.text
        if not text.strip() or text.startswith(("Traceback (most", '  File "')):
            continue
        if line.level in ERRORS or (not line.level and _NOTABLE.match(text)):
            found.setdefault(text, Remark(text, line.process, line.number))
    return list(found.values())[-REMARKS_KEPT:]


def find_deaths(lines: Iterable[Line]) -> list[Death]:
    """Return the processes that ended by a signal, in the order in which it was said."""
    found: dict[Death, None] = {}
    for line in lines:
        if not any(word in line.text for word in _DEATH_WORDS):
            continue
        for pattern in _DIED:
            if (said := pattern.search(line.text)) and (code := int(said["code"])) < 0:
                found.setdefault(Death(said["name"], -code))
        for pattern, number in _FATAL_SIGNAL:
            if pattern.search(line.text):
                found.setdefault(Death(line.process, number))
    return list(found)


def find_gone(lines: Iterable[Line]) -> str:
    """Return the first line that tells of a process that is gone, empty where none does.

    Another process says so, and does not know why.
    """
    for line in lines:
        if any(word in line.text for word in _GONE_WORDS) and _GONE.search(line.text):
            return line.text
    return ""
