"""Lines of an output that report an error and are not part of a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from entrypoint.logs.engine_line import ERROR_LEVELS, EngineLine

ERROR_LINES = 200
"""How many error lines to keep, the last ones."""

USAGE_CHARACTERS = 1000
"""How much of an error of the command line to keep."""

_USAGE = re.compile(r"(?:[\w./-]{1,120} ){0,2}[\w./-]{1,120}: error: ")
# what native code and other programs write when they fail
_ERROR = re.compile(
    r"\s{0,8}(?:Fatal Python error|terminate called|what\(\): |Bus error|Segmentation fault|"
    r"Illegal instruction|Aborted|!{3,} Segfault|\*{3} SIG|free\(\): |double free|malloc\(\): |"
    r"libgomp: |OMP: Error|OpenBLAS [^\n]{0,40}(?:fail|error)|Memory access fault|"
    r"(?:\S{0,120}(?:: | )|[\w./-]{1,60} \w{1,30}: )error: |"
    r"\S{1,200}: error while loading|\S{1,80}: fatal error|"
    r"Value error, |\S{1,200}(?: \(deleted\))?: cannot open shared object file|"
    r"\[E[ \d]|\w{1,60}(?:Error|Exception)\([\"']|HW Exception by GPU|"
    r"Failed: Cuda error |LLVM ERROR|realloc\(\): )|"
    r".{0,120}NCCL WARN|.{0,120}unsatisfied condition: |"
    # prefixes of other programs' loggers, also of programs that wrap vLLM
    r".{0,60}rocdevice\.cpp|.{0,80}gcs_rpc_client|.{0,80}\[(?:error|fatal|critical)\]|"
    r".{0,80}\b(?:ERROR|FATAL|CRITICAL)\b|.{0,80}Uncaught exception"
)


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A line that reports an error, and the process that wrote it."""

    text: str
    process: str


def find_error_lines(lines: Iterable[EngineLine]) -> list[ErrorLine]:
    """Return the last :data:`ERROR_LINES` error lines outside tracebacks, each text once."""
    found: dict[str, ErrorLine] = {}
    usage = ""
    for line in lines:
        text = line.text
        if usage:  # an error of the command line can have several lines
            if text.strip() and not line.level and len(usage) < USAGE_CHARACTERS:
                del found[usage]
                usage += f"\n{text}"
                found[usage] = ErrorLine(usage, line.process)
                continue
            usage = ""
        if not text.strip() or text.startswith(("Traceback (most", '  File "')):
            continue
        if line.level in ERROR_LEVELS or (not line.level and _ERROR.match(text)):
            found.setdefault(text, ErrorLine(text, line.process))
            usage = text if _USAGE.match(text) else ""
    return list(found.values())[-ERROR_LINES:]
