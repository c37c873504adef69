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
from typing import Any

from entrypoint.shared.handover import MODULES, RUN_DIRECTORY_VARIABLE, StartRequest

COMMAND = (sys.executable, "-P", "-m", "server.engine")
"""The engine's command line. It says nothing about the launch: that goes by the orders. Without
``-P`` the modules of the working directory would come before the installed ones."""

SWEEP_SECONDS = 2.0
"""What the engine's helpers get to leave by themselves once it has ended: they unlink shared
memory on their way out."""

KILL_SECONDS = 10.0
"""How long a killed process is waited for: one that hangs in the kernel, on a dead disk, say, does
not end, and must not keep the launch from ending."""

RESEND_SECONDS = 0.1
"""How long after a kill the next one comes: what was killed may just have started another."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies.

    As PID 1 it is that already; anywhere else orphans would go to the machine's init, out of
    reach.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _descendants() -> list[int]:
    """Return the process ids of this process's descendants that have not ended."""
    below: dict[int, list[int]] = {}
    ended = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            # pid (command) state ppid ...; the command may itself hold brackets and blanks
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            below.setdefault(int(parent), []).append(int(entry))
            if state == "Z":
                ended.add(int(entry))
    found: list[int] = []
    ahead = [os.getpid()]
    while ahead:
        children = below.get(ahead.pop(), [])
        found += children
        ahead += children
    return [pid for pid in found if pid not in ended]


def end_children() -> None:
    """Kill whatever this process has started and is still there."""
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class EngineProcess:
    """The engine's main process and everything below it."""

    def __init__(
        self,
        orders: StartRequest,
        env: Mapping[str, str],
        listener: socket.socket | None,
        command: Sequence[str] = COMMAND,
        stdout: int | None = None,
        stderr: int | None = None,
    ):
        """Start the engine.

        Args:
            orders: What it is to do.
            env: Its whole environment.
            listener: The listening socket that it takes over.
            command: What to run.
            stdout: Descriptor of its standard output; without it, ours.
            stderr: Descriptor of its standard error; without it, ours.
        """
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._killed = False
        # A process group of its own: a terminal's Ctrl-C must reach the engine through us, once.
        # Not a session: Linux schedules each as one (autogroups), and vLLM's spinning in
        # sched_yield() in one was seen to keep others from a core for up to 15 s (Linux 6.18).
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
            pipe.write(orders.dump())

    @property
    def pid(self) -> int:
        return self._process.pid

    def reap(self) -> bool:
        """Collect every child that has ended; call it on SIGCHLD.

        Returns:
            Whether any is left. The others' children are theirs, and ours once they have ended.
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
        """Signal the whole tree, orphans included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill the whole tree, and wait no longer for what leaves by itself."""
        self._killed = True
        self.send_all(signal.SIGKILL)

    async def stop(
        self,
        seconds: float,
        kill_seconds: float = KILL_SECONDS,
        *,
        answered: asyncio.Event | None = None,
        margin: float = 0.0,
    ) -> None:
        """Ask the main process to stop, and kill what is left of the tree after a while.

        Args:
            seconds: What the tree gets to end by itself.
            kill_seconds: How long what was killed is waited for.
            answered: Set once nobody waits for anything that the tree does.
            margin: What the tree gets beyond ``seconds``, until ``answered`` is set.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds + margin
        self.send(signal.SIGTERM)
        await asyncio.wait([self.exited], timeout=seconds)
        if answered is not None:
            told = asyncio.ensure_future(answered.wait())
            either: list[asyncio.Future[Any]] = [self.exited, told]
            left = max(0.0, deadline - loop.time())
            await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
        await self.end(min(SWEEP_SECONDS, deadline - loop.time()), kill_seconds)

    async def end(
        self, sweep_seconds: float = SWEEP_SECONDS, kill_seconds: float = KILL_SECONDS
    ) -> None:
        """End whatever of the tree is left, and leave neither orphan nor zombie.

        Args:
            sweep_seconds: What the others get to leave by themselves where the main process has.
            kill_seconds: How long what was killed is waited for.
        """
        loop = asyncio.get_running_loop()
        if self.exited.done() and not self._killed:
            await self._alone(sweep_seconds)
        deadline = loop.time() + kill_seconds
        while not await self._alone(0) and loop.time() < deadline:
            self.send_all(signal.SIGKILL)
            await self._alone(RESEND_SECONDS)

    async def _alone(self, seconds: float) -> bool:
        """Wait until no process is left below this one; return whether none is."""
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
    """Return the engine's environment: ours, what the plan drops and adds, and where to report."""
    kept = {name: value for name, value in environ.items() if name not in dropped}
    ours = {
        RUN_DIRECTORY_VARIABLE: str(run_directory),
        "HF_MODULES_CACHE": str(run_directory / MODULES),
    }
    # what a process prints would wait in it, and be lost when it is killed: its output is a pipe
    return {"PYTHONUNBUFFERED": "1", **kept, **added, **ours}
