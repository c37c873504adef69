"""One launch as the matrix makes it: the command in a process of its own, seen from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.stage import Stage

BOUND_SECONDS = 40.0
"""The longest that a scripted launch, and anything that is waited for in it, may take."""


class Trial:
    """A running launch.

    Args:
        stage: Its surroundings.
        seconds: The longest that it may take, all in all.
    """

    def __init__(self, stage: Stage, seconds: float = BOUND_SECONDS):
        self.stage = stage
        self._deadline = time.monotonic() + seconds
        self._logs = {name: stage.place / name for name in ("stdout", "stderr")}
        with contextlib.ExitStack() as opened:
            streams = {
                name: self._unread()
                if name in stage.closed
                else opened.enter_context(log.open("wb"))
                for name, log in self._logs.items()
            }
            self.process = subprocess.Popen(
                [*stage.prefix, sys.executable, "-m", "tests.faults.serve"],
                env=stage.environ,
                cwd=stage.place,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                stdout=streams["stdout"],
                stderr=streams["stderr"],
            )
        for stream in streams.values():
            if isinstance(stream, int):
                os.close(stream)

    @staticmethod
    def _unread() -> int:
        """The writing end of a pipe whose reader has gone."""
        reading, writing = os.pipe()
        os.close(reading)
        return writing

    def said(self) -> str:
        """All that the launch has written so far."""
        return "".join(
            log.read_text(errors="replace") for log in self._logs.values() if log.exists()
        )

    def errors(self) -> str:
        """What it has written to standard error."""
        log = self._logs["stderr"]
        return log.read_text(errors="replace") if log.exists() else ""

    def kind(self) -> str:
        """The code of the error that ended it, as its termination message says first; empty where
        there is none."""
        told = self.stage.termination
        return told.read_text().partition(" (exit code ")[0] if told.exists() else ""

    def ask(self, path: str) -> tuple[int, bytes]:
        """Ask the launch's own port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stage.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def phase(self) -> str:
        """The phase that the status names; empty while nothing answers."""
        try:
            answer = self.ask("/v1/status")[1]
        except (OSError, http.client.HTTPException):
            return ""
        if answer == b"engine":  # the scripted one answers everything so
            return "ready"
        with contextlib.suppress(ValueError):
            return str(json.loads(answer)["phase"])
        return ""

    def until(self, phase: str) -> None:
        """Wait until the launch is in a phase."""
        while self.phase() != phase:
            self.wait_a_little(f"phase {phase}")

    def pid(self, role: str) -> int:
        """The process id of one of the scripted engine's processes; waits for it."""
        told = self.stage.place / "pids" / role
        while not told.exists():
            self.wait_a_little(f"the process {role}")
        return int(told.read_text())

    def wait_a_little(self, what: str) -> None:
        """Let time pass while something is waited for, and fail where it cannot come any more."""
        assert self.process.poll() is None, f"ended before {what}:\n{self.said()}"
        assert time.monotonic() < self._deadline, f"never came to {what}:\n{self.said()}"
        time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        """Signal the command."""
        pid = self.process.pid
        if "--fork" in self.stage.prefix:  # then `unshare` waits for it, and passes nothing on
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0])
        os.kill(pid, number)

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        try:
            return self.process.wait(max(0.1, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs:\n{self.said()}") from None

    def left(self) -> dict[int, str]:
        """Return ``{process id: command line}`` of what is left of the launch, zombies included.

        Its processes are known by a variable of theirs, wherever they are in the tree.
        """
        mark = f"FAULT_PLACE={self.stage.place}".encode()
        found: dict[int, str] = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry)] = line.decode(errors="replace")
        return found

    def until_nothing_is_left(self) -> None:
        """Wait until every process of the launch is gone: one whose parent was killed needs to
        notice."""
        while left := self.left():
            assert time.monotonic() < self._deadline, f"left over: {left}\n{self.said()}"
            time.sleep(0.02)

    def close(self) -> None:
        """Kill whatever is left."""
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
