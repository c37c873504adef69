"""Tracebacks as vLLM's worker processes log them."""

from __future__ import annotations

WORKER = "(Worker_TP0 pid=12) ERROR 11-21 06:00:00 [multiproc_executor.py:953] "
OTHER = "(Worker_TP1 pid=13) ERROR 11-21 06:00:00 [multiproc_executor.py:953] "
HEADER = "Traceback (most recent call last):"


def traceback(prefix: str, raised: str) -> list[str]:
    """Return the lines of a traceback, each after a prefix, that end with what was raised."""
    frames = ['  File "a.py", line 1, in work', "    work()", "    ^^^^^^"]
    return [f"{prefix}{line}" for line in (HEADER, *frames, raised)]
