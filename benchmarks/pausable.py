"""Processes that take turns: each is paused while another is measured."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.support.launch import descendants


class PausableProcess:
    """A process and its descendants."""

    def __init__(self, process: subprocess.Popen[Any]):
        self._process = process

    def pause(self) -> None:
        """Stop the processes until :meth:`resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the processes run again."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the processes run during a block, and pause them at its end."""
        self.resume()
        try:
            yield
        finally:
            self.pause()

    def terminate(self) -> None:
        """Stop the process as a user does, and wait until it has ended."""
        self.resume()
        self._process.terminate()
        self._process.wait(60)

    def kill(self) -> None:
        """Kill the processes, and wait until the first has ended."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for pid in descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
