"""One launch of the matrix: the command in a separate process, observed from outside."""

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
"""How long a scripted launch may take, including everything that a row waits for."""


class Trial:
    """A running launch.

    Args:
        stage: Its surroundings.
        seconds: How long it may take in total.
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
        """Return the writing end of a pipe without a reader."""
        reading, writing = os.pipe()
        os.close(reading)
        return writing

    def output(self) -> str:
        """Return all that the launch has written so far."""
        return "".join(
            log.read_text(errors="replace") for log in self._logs.values() if log.exists()
        )

    def errors(self) -> str:
        """Return what it has written to standard error."""
        log = self._logs["stderr"]
        return log.read_text(errors="replace") if log.exists() else ""

    def kind(self) -> str:
        """Return the error code that starts its termination message; empty without a message."""
        path = self.stage.termination
        return path.read_text().partition(" (exit code ")[0] if path.exists() else ""

    def ask(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer on the launch's port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stage.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def phase(self) -> str:
        """Return the phase that the status shows; empty if nothing answers."""
        try:
            answer = self.ask("/v1/status")[1]
        except (OSError, http.client.HTTPException):
            return ""
        if answer == b"engine":  # the scripted engine's answer to every request
            return "ready"
        with contextlib.suppress(ValueError):
            return str(json.loads(answer)["phase"])
        return ""

    def wait_for_phase(self, phase: str) -> None:
        """Wait until the launch is in a phase."""
        while self.phase() != phase:
            self.wait_a_little(f"phase {phase}")

    def pid(self, role: str) -> int:
        """Wait for one of the scripted engine's processes and return its id."""
        path = self.stage.place / "pids" / role
        while not path.exists():
            self.wait_a_little(f"the process {role}")
        return int(path.read_text())

    def wait_a_little(self, what: str) -> None:
        """Sleep for a moment; fail if the launch has ended or takes too long."""
        assert self.process.poll() is None, f"ended before {what}:\n{self.output()}"
        assert time.monotonic() < self._deadline, f"did not reach {what}:\n{self.output()}"
        time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        """Signal the command."""
        pid = self.process.pid
        if "--fork" in self.stage.prefix:  # then `unshare` waits for it, and forwards no signal
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0])
        os.kill(pid, number)

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self.process.wait(max(0.1, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hangs:\n{self.output()}") from None

    def remaining(self) -> dict[int, str]:
        """Return ``{process id: command line}`` of the launch's processes, including zombies.

        A variable in their environment identifies them, wherever they are in the tree.
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

    def wait_until_all_ended(self) -> None:
        """Wait for the end of all processes: one whose parent was killed has to notice first."""
        while remaining := self.remaining():
            assert time.monotonic() < self._deadline, f"still running: {remaining}\n{self.output()}"
            time.sleep(0.02)

    def close(self) -> None:
        """Kill the remaining processes."""
        for pid in self.remaining():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
