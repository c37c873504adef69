"""Reports the engine's phases, which it recognizes by vLLM's log lines in each process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from entrypoint.shared.handover import Phase, report_phase

LOG_LINES: dict[str, Phase] = {
    "Starting to load model": Phase.WEIGHTS,
    "Warming up model for the compilation": Phase.COMPILE,
    "%sUsing cache directory": Phase.COMPILE,
    "%sDynamo bytecode transform time": Phase.COMPILE,
    "%sInitial profiling/warmup run took": Phase.WARM_UP,
    "Warming up done": Phase.WARM_UP,
    "Graph capturing finished": Phase.WARM_UP,
}
"""Start of a log line's format string, and the phase that it means (vLLM 0.32)."""


def phase_of(line: str) -> Phase | None:
    """Return the phase that a log line's format string means, None if it means none."""
    return next((phase for start, phase in LOG_LINES.items() if line.startswith(start)), None)


class _ReportingFactory:
    """Makes log records as usual, and reports the phases that they mean.

    A handler would not last: vLLM reconfigures its loggers in every process and so removes it.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]):
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if record.name.startswith("vllm."):
            phase = phase_of(str(record.msg))
            if phase is not None:
                report_phase(phase)
        return record


_watching = False


def watch() -> None:
    """Report phases from now on. Further calls in the same process have no effect."""
    global _watching
    if not _watching:
        _watching = True
        logging.setLogRecordFactory(_ReportingFactory(logging.getLogRecordFactory()))
