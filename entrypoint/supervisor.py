"""One launch from its first second to its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from entrypoint.engine_process import (
    COMMAND,
    EngineProcess,
    adopt_orphans,
    end_children,
    engine_environment,
)
from entrypoint.errors import MachineError
from entrypoint.fate import MemoryWatch, engine_fate
from entrypoint.handover import EVENTS, STATUS, Orders, Phase
from entrypoint.listener import Listen
from entrypoint.plan import LaunchPlan
from entrypoint.status import status_document
from entrypoint.status_server import StatusServer
from entrypoint.table import human_bytes
from entrypoint.timeline import Timeline
from entrypoint.timings import expected_seconds, launch_key, remember

log = logging.getLogger("inference-server")

LOADING_STOP_SECONDS = 1.5
"""What the engine gets to stop while it loads: there is no request to finish yet."""

PROGRESS_SECONDS = 10.0
"""How often the log tells how far an unpacking or a download is."""

SOCKET_PATH_CHARACTERS = 107
"""The longest path that a Unix socket can have on Linux (unix(7))."""

DRAIN_MARGIN_SECONDS = 2.0
"""What the engine gets beyond SHUTDOWN_TIMEOUT, to end what it has cut off."""


class Progress:
    """How the preparing thread tells where it is; safe to call from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor):
        self._loop = loop
        self._supervisor = supervisor
        self._told = time.monotonic()

    def enter(self, phase: Phase) -> None:
        """Enter a phase."""
        self._loop.call_soon_threadsafe(self._supervisor.enter, phase)

    def bytes(self, done: int, total: int) -> None:
        """Say how many bytes of the model are there, of how many."""
        timeline = self._supervisor.timeline
        timeline.bytes_done, timeline.bytes_total = done, total
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            log.info("%s: %s of %s", timeline.phase, human_bytes(done), human_bytes(total))


Prepare = Callable[[Progress], LaunchPlan]


class Supervisor:
    """Answers while the model loads, starts the engine, stays beside it until it has stopped.

    Args:
        listen: Where the launch listens.
        listener: The socket that does, already listening.
        prepare: Finds and fetches the model and plans the launch; runs in a thread of its own.
        environ: The environment that the engine inherits.
        scratch: Where past launches' timings are.
        command: The engine's command line.
        root: Where ``/proc`` and ``/sys`` are.
    """

    def __init__(
        self,
        listen: Listen,
        listener: socket.socket,
        prepare: Prepare,
        environ: Mapping[str, str],
        scratch: Path,
        command: Sequence[str] = COMMAND,
        root: Path = Path("/"),
    ):
        self.timeline = Timeline(started=time.monotonic())
        self._listen = listen
        self._listener = listener
        self._prepare = prepare
        self._environ = environ
        self._scratch = scratch
        self._command = command
        self._root = root
        self._plan: LaunchPlan | None = None
        self._engine: EngineProcess | None = None
        self._status_server = StatusServer(listener, listen, self.status)
        self._handed_over: asyncio.Task[None] | None = None
        self._run_directory = _make_run_directory()

    def status(self) -> dict[str, Any]:
        """What ``/v1/status`` shows."""
        return status_document(self.timeline, self._plan, time.monotonic())

    async def run(self) -> int:
        """Run the launch and return the exit code.

        Raises:
            InferenceServerError: The launch cannot be prepared, or the engine ended by itself.
        """
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        adopt_orphans()
        self._status_server.start()
        log.info("listening on %s", self._listen)
        try:
            with self._events(loop):
                plan = await self._unless_stopped(self._prepared(loop))
                if plan is None:
                    end_children()
                    log.info("stopped as asked")
                    return 0
                return await self._run_engine(loop, plan)
        finally:
            await self._status_server.stop(linger=0)
            self._remove_run_directory()

    def enter(self, phase: Phase) -> None:
        """Enter a phase: log it, and show it where the engine's server reads it."""
        if not self.timeline.enter(phase, time.monotonic()):
            return
        if phase is Phase.READY:
            self._on_ready()
        else:
            log.info("phase %s", phase)
        self._write_status()

    async def _run_engine(self, loop: asyncio.AbstractEventLoop, plan: LaunchPlan) -> int:
        self._plan = plan
        self.timeline.expected = expected_seconds(self._scratch, launch_key(plan))
        self.timeline.bytes_done = self.timeline.bytes_total = plan.model.bytes
        self.enter(Phase.IMPORT)
        if plan.engine_binds:
            await self._status_server.stop()
        memory = MemoryWatch(self._root)
        engine = self._engine = EngineProcess(
            Orders(
                list(plan.argv),
                None if plan.engine_binds else self._listener.fileno(),
                os.getpid(),
                plan.shutdown_timeout + DRAIN_MARGIN_SECONDS,
            ),
            engine_environment(self._environ, plan.dropped, plan.env, self._run_directory),
            None if plan.engine_binds else self._listener,
            self._command,
        )
        loop.add_signal_handler(signal.SIGCHLD, engine.reap)
        engine.reap()  # it may have ended before the handler was there
        await self._unless_stopped(engine.exited)
        if self._stop.is_set():
            # an engine with sockets of its own need not say when it is ready
            may_serve = plan.engine_binds or Phase.READY in self.timeline.entered
            self.enter(Phase.STOPPING)
            await engine.stop(
                plan.shutdown_timeout + DRAIN_MARGIN_SECONDS if may_serve else LOADING_STOP_SECONDS
            )
            log.info("stopped as asked")
            return 0
        await engine.end()
        return engine_fate(engine.exited.result(), self.timeline.phase, memory)

    def _on_stop(self, number: int) -> None:
        if not self._stop.is_set():
            log.info("%s: stopping", signal.Signals(number).name)
            self._stop.set()
        elif self._engine is not None:
            log.info("%s again: stopping at once", signal.Signals(number).name)
            self._engine.send_all(signal.SIGKILL)

    def _on_ready(self) -> None:
        seconds = self.timeline.seconds(time.monotonic())
        seconds.pop(Phase.READY)
        listed = ", ".join(f"{phase} {s:.1f} s" for phase, s in seconds.items())
        log.info("ready after %.1f s: %s", sum(seconds.values()), listed)
        if self._plan is not None:
            remember(self._scratch, launch_key(self._plan), seconds)
        self._handed_over = asyncio.create_task(self._status_server.stop())

    def _write_status(self) -> None:
        target = self._run_directory / STATUS
        partial = target.with_suffix(".partial")
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps({**self.status(), "as_of": time.monotonic()}))
            partial.replace(target)

    async def _prepared(self, loop: asyncio.AbstractEventLoop) -> LaunchPlan:
        """Prepare in a daemon thread: a stop need not wait for an unpacking to finish."""
        outcome: asyncio.Future[LaunchPlan] = loop.create_future()
        progress = Progress(loop, self)

        def settle(plan: LaunchPlan | None, error: Exception | None) -> None:
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            elif plan is not None:
                outcome.set_result(plan)

        def work() -> None:
            plan, error = None, None
            try:
                plan = self._prepare(progress)
            except Exception as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is gone: stopped meanwhile
                loop.call_soon_threadsafe(settle, plan, error)

        threading.Thread(target=work, name="prepare", daemon=True).start()
        return await outcome

    async def _unless_stopped(self, awaited: Any) -> Any:
        """Return what is awaited, or None as soon as a stop is asked for."""
        task = asyncio.ensure_future(awaited)
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done() or self._stop.is_set():
            return None
        return task.result()

    @contextlib.contextmanager
    def _events(self, loop: asyncio.AbstractEventLoop) -> Any:
        """Receive the phases that the engine's processes report."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(self._run_directory / EVENTS))
            events.setblocking(False)

            def on_event() -> None:
                with contextlib.suppress(BlockingIOError, ValueError):
                    while True:
                        self.enter(Phase(events.recv(64).decode()))

            loop.add_reader(events, on_event)
            try:
                yield
            finally:
                loop.remove_reader(events)

    def _remove_run_directory(self) -> None:
        with contextlib.suppress(OSError):
            for entry in os.listdir(self._run_directory):
                (self._run_directory / entry).unlink()
            self._run_directory.rmdir()


def _make_run_directory() -> Path:
    """Make the directory through which the engine's processes report.

    Raises:
        MachineError: There is no place for it, or only one whose path is too long for a socket.
    """
    try:
        directory = Path(tempfile.mkdtemp(prefix="inference-server-"))
    except OSError as error:
        raise MachineError(
            f"No temporary directory can be made: {error}.",
            variable="TMPDIR",
            hint="Mount a writable volume on /tmp, or point TMPDIR at one.",
        ) from None
    if len(str(directory / EVENTS)) > SOCKET_PATH_CHARACTERS:
        directory.rmdir()
        raise MachineError(
            f"TMPDIR={directory.parent} is too long a path for a Unix socket in it.",
            variable="TMPDIR",
            hint="Point TMPDIR at a shorter path, such as /tmp.",
        )
    return directory
