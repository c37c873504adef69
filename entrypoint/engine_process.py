"""The engine as a process tree: started, signalled, reaped to the last grandchild."""

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

from entrypoint.handover import RUN_DIRECTORY_VARIABLE, Orders

COMMAND = (sys.executable, "-m", "server.engine")
"""The engine's command line. It says nothing about the launch: that goes by the orders."""

SWEEP_SECONDS = 2.0
"""What the engine's helpers get to leave by themselves once it has ended: they unlink shared
memory on their way out."""

KILL_SECONDS = 10.0
"""How long a killed process is waited for: one that hangs in the kernel, on a dead disk, say, does
not end, and must not keep the launch from ending."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies.

    As PID 1 it is that already; anywhere else orphans would go to the machine's init, out of
    reach.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> list[int]:
    """Return the process ids of this process's children that have not ended."""
    mine = str(os.getpid())
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            # pid (command) state ppid ...; the command may itself hold brackets and blanks
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            if parent == mine and state != "Z":
                found.append(int(entry))
    return found


def end_children() -> None:
    """Kill whatever this process has started, before there is an engine: a download."""
    for child in _children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


class EngineProcess:
    """The engine's main process and everything below it."""

    def __init__(
        self,
        orders: Orders,
        env: Mapping[str, str],
        listener: socket.socket | None,
        command: Sequence[str] = COMMAND,
    ):
        """Start the engine.

        Args:
            orders: What it is to do.
            env: Its whole environment.
            listener: The listening socket that it takes over.
            command: What to run.
        """
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # a session of its own: a terminal's Ctrl-C must reach the engine through us, once
        self._process = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()] if listener else [],
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(orders.dump())

    @property
    def pid(self) -> int:
        return self._process.pid

    def reap(self) -> None:
        """Collect every child that has ended; call it on SIGCHLD."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid and not self.exited.done():
                    code = os.waitstatus_to_exitcode(status)
                    self._process.returncode = code
                    self.exited.set_result(code)

    def send(self, number: signal.Signals) -> None:
        """Signal the main process."""
        if not self.exited.done():
            os.kill(self.pid, number)

    def send_all(self, number: signal.Signals) -> None:
        """Signal the whole tree, orphans included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    async def stop(self, seconds: float) -> None:
        """Ask the main process to stop, and end the tree if it has not within ``seconds``."""
        self.send(signal.SIGTERM)
        await asyncio.wait([self.exited], timeout=seconds)
        await self.end()

    async def end(self) -> None:
        """End whatever of the tree is left, and leave neither orphan nor zombie."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + KILL_SECONDS
        if not self.exited.done():
            self.send_all(signal.SIGKILL)
        # a killed process can leave children behind, which become ours: hence the loop
        while not await self._alone(SWEEP_SECONDS) and loop.time() < deadline:
            self.send_all(signal.SIGKILL)
        self.reap()

    async def _alone(self, seconds: float) -> bool:
        """Wait until no child is left; return whether none is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while _children():
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
    """Return the engine's environment: ours, what the plan drops and adds, and where to report."""
    kept = {name: value for name, value in environ.items() if name not in dropped}
    return {**kept, **added, RUN_DIRECTORY_VARIABLE: str(run_directory)}
