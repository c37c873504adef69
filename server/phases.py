"""Reports the engine's phases, told by the lines that vLLM logs in each of its processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from entrypoint.shared.handover import Phase, report_phase

BEGINNINGS: dict[str, Phase] = {
    "Starting to load model": Phase.WEIGHTS,
    "Warming up model for the compilation": Phase.COMPILE,
    "%sUsing cache directory": Phase.COMPILE,
    "%sDynamo bytecode transform time": Phase.COMPILE,
    "%sInitial profiling/warmup run took": Phase.WARM_UP,
    "Warming up done": Phase.WARM_UP,
    "Graph capturing finished": Phase.WARM_UP,
}
"""How the format string of a log line begins, and the phase that it tells (vLLM 0.32)."""


def told_by(line: str) -> Phase | None:
    """Return the phase that a log line's format string tells, None if it tells none."""
    return next((phase for start, phase in BEGINNINGS.items() if line.startswith(start)), None)


class _ReportingFactory:
    """Makes log records as before, and reports the phase that a record tells.

    Not a handler: vLLM configures its loggers anew in every process, which removes handlers.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]):
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if record.name.startswith("vllm."):
            phase = told_by(str(record.msg))
            if phase is not None:
                report_phase(phase)
        return record


_watching = False


def watch() -> None:
    """Report phases from now on; once a process, however often it is called."""
    global _watching
    if not _watching:
        _watching = True
        logging.setLogRecordFactory(_ReportingFactory(logging.getLogRecordFactory()))
