"""The engine's process tree: how to start it, signal it, and end all of it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from entrypoint.shared.handover import MODULES, RUN_DIRECTORY_VARIABLE, StartRequest

COMMAND = (sys.executable, "-P", "-m", "server.engine")
"""The engine's command line. ``-P``: modules in the working directory must not hide the installed
ones."""

SWEEP_SECONDS = 2.0
"""How long the engine's helpers get to exit once it has ended: they remove shared memory first."""

KILL_SECONDS = 10.0
"""How long to wait for a killed process. One that hangs in the kernel, for example on a dead disk,
does not end, and must not prevent the end of the launch."""

RESEND_SECONDS = 0.1
"""How long after a kill to kill again: a killed process may have started another just before."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose parent dies.

    PID 1 is that already. Elsewhere orphans become children of the machine's init, out of reach.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _descendants() -> list[int]:
    """Return the ids of this process's running descendants."""
    children: dict[int, list[int]] = {}
    ended = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            # pid (command) state ppid ...; the command may contain brackets and blanks
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append(int(entry))
            if state == "Z":
                ended.add(int(entry))
    found = list(children.get(os.getpid(), []))
    for pid in found:  # grows while it is read
        found += children.get(pid, [])
    return [pid for pid in found if pid not in ended]


def kill_descendants() -> None:
    """Kill every process that this process, or one of its children, has started."""
    _send_to_descendants(signal.SIGKILL)


def _send_to_descendants(number: signal.Signals) -> None:
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class EngineProcess:
    """The engine's main process and its descendants."""

    def __init__(
        self,
        request: StartRequest,
        env: Mapping[str, str],
        listener: socket.socket | None,
        command: Sequence[str] = COMMAND,
        stdout: int | None = None,
        stderr: int | None = None,
    ):
        """Start the engine.

        Args:
            request: What it is asked to run.
            env: Its complete environment.
            listener: The listening socket that it inherits.
            command: Its command line.
            stdout: Descriptor of its standard output, by default ours.
            stderr: Descriptor of its standard error, by default ours.
        """
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._killed = False
        # In its own process group, so that a terminal's Ctrl-C reaches it only through us.
        # Not in its own session: Linux schedules each session as a unit (autogroups), and vLLM's
        # loops around sched_yield() kept other sessions off a core for up to 15 s (Linux 6.18).
        self._process = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[listener.fileno()] if listener else [],
            process_group=0,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(request.dump())

    @property
    def pid(self) -> int:
        return self._process.pid

    def reap(self) -> bool:
        """Collect every child that has ended; call it on SIGCHLD.

        Returns:
            Whether any child is left. Grandchildren become ours when their parents end.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid and not self.exited.done():
                code = os.waitstatus_to_exitcode(status)
                self._process.returncode = code
                self.exited.set_result(code)

    def send(self, number: signal.Signals) -> None:
        """Signal the main process."""
        if not self.exited.done():
            os.kill(self.pid, number)

    def send_all(self, number: signal.Signals) -> None:
        """Signal the complete tree, including orphans."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        _send_to_descendants(number)

    def kill(self) -> None:
        """Kill the complete tree; a running :meth:`stop` no longer waits for processes to exit."""
        self._killed = True
        self.send_all(signal.SIGKILL)

    async def stop(
        self,
        seconds: float,
        kill_seconds: float = KILL_SECONDS,
        *,
        drained: asyncio.Event | None = None,
        margin: float = 0.0,
    ) -> None:
        """Ask the main process to stop, and kill the remaining tree after a while.

        Args:
            seconds: How long the tree gets to exit.
            kill_seconds: How long to wait for killed processes.
            drained: Set once no client waits for a response.
            margin: How long the tree gets beyond ``seconds``, until ``drained`` is set.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds + margin
        self.send(signal.SIGTERM)
        await asyncio.wait([self.exited], timeout=seconds)
        if drained is not None:
            waiting = asyncio.ensure_future(drained.wait())
            either: list[asyncio.Future[Any]] = [self.exited, waiting]
            remaining = max(0.0, deadline - loop.time())
            await asyncio.wait(either, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        await self.end(min(SWEEP_SECONDS, deadline - loop.time()), kill_seconds)

    async def end(
        self, sweep_seconds: float = SWEEP_SECONDS, kill_seconds: float = KILL_SECONDS
    ) -> None:
        """End the remaining tree; leave neither orphan nor zombie.

        Args:
            sweep_seconds: How long the others get to exit if the main process has exited.
            kill_seconds: How long to wait for killed processes.
        """
        loop = asyncio.get_running_loop()
        if self.exited.done() and not self._killed:
            await self._all_ended(sweep_seconds)
        deadline = loop.time() + kill_seconds
        while not await self._all_ended(0) and loop.time() < deadline:
            self.send_all(signal.SIGKILL)
            await self._all_ended(RESEND_SECONDS)

    async def _all_ended(self, seconds: float) -> bool:
        """Wait until this process has no descendant, but no longer than ``seconds``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.reap():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True


def engine_environment(
    environ: Mapping[str, str],
    dropped: Collection[str],
    added: Mapping[str, str],
    run_directory: Path,
) -> dict[str, str]:
    """Return the engine's environment: ours with the plan's changes, and the run directory."""
    kept = {name: value for name, value in environ.items() if name not in dropped}
    ours = {
        RUN_DIRECTORY_VARIABLE: str(run_directory),
        "HF_MODULES_CACHE": str(run_directory / MODULES),
    }
    # its output is a pipe: a killed process would lose what is in Python's buffer
    return {"PYTHONUNBUFFERED": "1", **kept, **added, **ours}
