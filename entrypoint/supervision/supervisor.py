"""One launch from its first second to its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from entrypoint.errors import MachineError, StartTimeout
from entrypoint.logs.writer import LogWriter
from entrypoint.planning.listen import Listen
from entrypoint.planning.plan import LaunchPlan
from entrypoint.secrets import Redactor
from entrypoint.shared.handover import DRAINED, EVENTS, STATUS, Phase, StartRequest
from entrypoint.status.document import status_document
from entrypoint.status.server import OPEN, Guard, StatusServer
from entrypoint.status.timeline import Timeline
from entrypoint.status.timings import expected_seconds, launch_key, remember
from entrypoint.store import progress
from entrypoint.store.writing.complete_file import write_text
from entrypoint.supervision.engine_output import EngineOutput
from entrypoint.supervision.engine_process import (
    COMMAND,
    EngineProcess,
    adopt_orphans,
    end_children,
    engine_environment,
)
from entrypoint.supervision.memory_watch import MemoryWatch
from entrypoint.units import human_bytes

log = logging.getLogger("inference-server")

T = TypeVar("T")

LOADING_STOP_SECONDS = 1.0
"""What the engine gets to stop while it loads: there is no request to finish yet."""

DRAIN_MARGIN_SECONDS = 1.3
"""What the engine gets beyond SHUTDOWN_TIMEOUT, at most, to end what it has cut off."""

KILLED_SECONDS = 0.5
"""How long a stop waits for what it has killed; with the above, it ends within two seconds."""

PROGRESS_SECONDS = 10.0
"""How often the log tells how far an unpacking or a download is."""

SOCKET_PATH_CHARACTERS = 107
"""The longest path that a Unix socket can have on Linux (unix(7))."""

PREPARING_SECONDS = 0.2
"""How long a preparation that has been given up is waited for."""

OUTPUT_SECONDS = 1.0
"""How long the last of the engine's output is waited for once all of its processes have ended."""

LAST_WORDS_SECONDS = 0.2
"""The same after a stop, which has a deadline."""

TRANSFERS = (Phase.DOWNLOAD, Phase.UNPACK, Phase.VERIFY)
"""The phases in which bytes of the model pass."""


class Progress:
    """How the preparing thread tells where it is; safe to call from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor):
        self._loop = loop
        self._supervisor = supervisor
        self._told = time.monotonic()

    def enter(self, phase: Phase) -> None:
        """Enter a phase."""
        # what has passed until now: once the loop has its turn it may be the next phase's
        passed = self._supervisor.timeline.bytes_done
        self._loop.call_soon_threadsafe(self._supervisor.enter, phase, passed)

    def planned(self, plan: LaunchPlan) -> None:
        """Say what will be launched, as far as it is known before the model is there."""
        self._loop.call_soon_threadsafe(self._supervisor.expect, plan)

    def bytes(self, progress: progress.Progress) -> None:
        """Report how many bytes of the phase's work are done."""
        done, total = progress.done, progress.total
        now = time.monotonic()
        timeline = self._supervisor.timeline
        timeline.pass_bytes(done, total, now)
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            rate = timeline.bytes_per_second(now)
            log.info(
                "%s: %s of %s%s",
                timeline.phase,
                human_bytes(done),
                human_bytes(total),
                f", {human_bytes(rate)}/s" if rate else "",
            )


Prepare = Callable[[Progress], LaunchPlan]


class Supervisor:
    """Answers while the model loads, starts the engine, stays beside it until it has stopped.

    Args:
        listen: Where the launch listens.
        listener: The socket that does, already listening; closed in the end.
        prepare: Finds and fetches the model and plans the launch; runs in a thread of its own.
        environ: The environment that the engine inherits.
        scratch: Where past launches' timings are.
        writer: What the engine's output is written on with.
        as_json: Whether the engine's lines become records of JSON.
        start_timeout: Seconds that the start may take, downloads not counted; 0 for ever.
        guard: Who may see the status while the model loads.
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
        writer: LogWriter,
        *,
        as_json: bool = False,
        start_timeout: float = 0,
        guard: Guard = OPEN,
        command: Sequence[str] = COMMAND,
        root: Path = Path("/"),
    ):
        self.timeline = Timeline(started=time.monotonic())
        self._listen = listen
        self._listener = listener
        self._guard = guard
        self._prepare = prepare
        self._environ = environ
        self._scratch = scratch
        self._writer = writer
        self._redact = Redactor(environ)
        self._command = command
        self._root = root
        self._as_json = as_json
        self._start_timeout = start_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._plan: LaunchPlan | None = None
        self._output: EngineOutput | None = None
        self._engine: EngineProcess | None = None
        self._preparing: threading.Thread | None = None
        self._status_servers: list[StatusServer] = []  # the one that answers, or did, is the last
        self._handed_over: asyncio.Task[None] | None = None
        self._answering = 0  # API servers that are ready, and have not ended their answers
        self._run_directory = _make_run_directory()

    def status(self) -> dict[str, Any]:
        """What ``/v1/status`` shows."""
        return status_document(self.timeline, self._plan, time.monotonic())

    def tail(self) -> list[str]:
        """Return the last lines that the engine said, none where there was no engine."""
        return self._output.tail.lines() if self._output else []

    async def run(self) -> int:
        """Run the launch and return the exit code.

        Raises:
            InferenceServerError: The launch cannot be prepared, takes too long, or the engine ended
                by itself.
        """
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._overdue = asyncio.Event()
        self._answered = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        adopt_orphans()
        try:
            self._start_status_server()
            self._set_timer()
            log.info("listening on %s", self._listen)
            with self._events(loop):
                plan = await self._unless_ended(self._prepared(loop))
                if plan is None:
                    return self._stopped()
                return await self._run_engine(loop, plan)
        finally:
            self._cancel_timer()
            for server in self._status_servers:
                await server.stop(linger=0)
            self._listener.close()  # first: looking for children needs a file
            end_children()  # a download; an engine, where something unforeseen went wrong
            self.remove_run_directory()

    def expect(self, plan: LaunchPlan) -> None:
        """Show what will be launched, and what it took the last time."""
        self._plan = plan
        self.timeline.expected = expected_seconds(self._scratch, launch_key(plan))

    def enter(self, phase: Phase, passed: int = 0) -> None:
        """Enter a phase: log it, and show it where the engine's server reads it.

        Args:
            phase: The phase.
            passed: Bytes of the model that have passed in the one before.
        """
        now = time.monotonic()
        left, seconds = self.timeline.phase, self.timeline.seconds(now)[self.timeline.phase]
        if not self.timeline.enter(phase, now):
            return
        if left in TRANSFERS and passed and seconds:
            size, rate = human_bytes(passed), human_bytes(passed / seconds)
            log.info("phase %s took %.1f s: %s, %s/s", left, seconds, size, rate)
        self._set_timer()
        if phase is Phase.READY:
            self._on_ready()
        else:
            log.info("phase %s", phase)
        self._write_status()

    async def _run_engine(self, loop: asyncio.AbstractEventLoop, plan: LaunchPlan) -> int:
        self.expect(plan)
        self.enter(Phase.IMPORT, self.timeline.bytes_done)
        self.timeline.bytes_done = self.timeline.bytes_total = plan.model.bytes
        if plan.engine_binds:
            self._cancel_timer()  # it need not say when it is ready
            await self._status_servers[-1].stop()
            self._listener.close()
        memory = MemoryWatch(self._root)
        output = self._output = EngineOutput(self._writer, self._redact, self._as_json)
        grace = plan.shutdown_timeout + DRAIN_MARGIN_SECONDS
        engine = self._engine = EngineProcess(
            StartRequest(
                list(plan.argv),
                None if plan.engine_binds else self._listener.fileno(),
                os.getpid(),
                grace,
            ),
            engine_environment(self._environ, plan.dropped, plan.env, self._run_directory),
            None if plan.engine_binds else self._listener,
            self._command,
            output.stdout,
            output.stderr,
        )
        output.start()
        loop.add_signal_handler(signal.SIGCHLD, engine.reap)
        engine.reap()  # it may have ended before the handler was there
        code = await self._unless_ended(engine.exited)
        if self._stop.is_set():
            # an engine with sockets of its own need not say when it is ready
            may_serve = plan.engine_binds or Phase.READY in self.timeline.entered
            self.enter(Phase.STOPPING)
            if may_serve:
                await engine.stop(
                    plan.shutdown_timeout,
                    KILLED_SECONDS,
                    answered=self._answered,
                    margin=DRAIN_MARGIN_SECONDS,
                )
            else:
                await engine.stop(LOADING_STOP_SECONDS, KILLED_SECONDS)
            await asyncio.to_thread(output.finish, LAST_WORDS_SECONDS)
            return self._stopped()
        self._answer_again()
        await engine.end()
        await asyncio.to_thread(output.finish, OUTPUT_SECONDS)
        if code is None:
            raise self._start_timed_out()
        # imported only where it is needed: the catalogue's patterns take a while to compile
        from entrypoint.diagnosis.diagnose import EngineExit, diagnose

        raise diagnose(self.tail(), EngineExit(code, self.timeline.phase, memory.cause()))

    def _stopped(self) -> int:
        """Return the exit code after a stop.

        Raises:
            StartTimeout: It was not asked for: the start took too long.
        """
        if not self._stop.is_set():
            raise self._start_timed_out()
        log.info("stopped as asked")
        return 0

    def _on_stop(self, number: int) -> None:
        if not self._stop.is_set():
            log.info("%s: stopping", signal.Signals(number).name)
            self._stop.set()
        elif self._engine is not None:
            log.info("%s again: stopping at once", signal.Signals(number).name)
            self._engine.kill()

    def _on_ready(self) -> None:
        seconds = self.timeline.seconds(time.monotonic())
        seconds.pop(Phase.READY)
        listed = ", ".join(f"{phase} {s:.1f} s" for phase, s in seconds.items())
        log.info("ready after %.1f s: %s", sum(seconds.values()), listed)
        self._status_servers[-1].let_go()
        if self._plan is not None:
            remember(self._scratch, launch_key(self._plan), seconds)
        self._handed_over = asyncio.create_task(self._status_servers[-1].stop())

    def _answer_again(self) -> None:
        """Answer who connects from now on: the engine, which the socket was handed to, does not."""
        again = len(self._status_servers) > 1
        if self._handed_over is None or again or self._listener.fileno() == -1:
            return
        self._start_status_server()

    def _start_status_server(self) -> None:
        server = StatusServer(self._listener, self._listen, self.status, self._guard)
        server.start()
        self._status_servers.append(server)

    def _write_status(self) -> None:
        text = json.dumps({**self.status(), "as_of": time.monotonic()})
        with contextlib.suppress(OSError):
            write_text(self._run_directory / STATUS, text, durable=False)

    async def _prepared(self, loop: asyncio.AbstractEventLoop) -> LaunchPlan:
        """Prepare in a daemon thread: a stop need not wait for an unpacking to finish."""
        outcome: asyncio.Future[LaunchPlan] = loop.create_future()
        progress = Progress(loop, self)

        def settle(plan: LaunchPlan | None, error: Exception | None) -> None:
            if outcome.done() or self._stop.is_set() or self._overdue.is_set():
                return  # nobody waits for it any more
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

        thread = threading.Thread(target=work, name="prepare", daemon=True)
        thread.start()
        self._preparing = thread
        return await outcome

    def left_preparing(self) -> bool:
        """Whether the preparation goes on although the launch has ended: it reads or hashes, and
        threads cannot be ended."""
        if self._preparing is None:
            return False
        self._preparing.join(PREPARING_SECONDS)
        return self._preparing.is_alive()

    async def _unless_ended(self, awaited: Awaitable[T]) -> T | None:
        """Return what is awaited, or None as soon as a stop is asked for or the time is up."""
        task = asyncio.ensure_future(awaited)
        ends = [asyncio.ensure_future(e.wait()) for e in (self._stop, self._overdue)]
        await asyncio.wait([task, *ends], return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if not task.done():
            return None
        if self._stop.is_set():
            task.exception()  # looked at, or asyncio complains of an error that nobody took
            return None
        return task.result()

    def _set_timer(self) -> None:
        """Set the timer to the end of what the start may take, as of the phase that began."""
        self._cancel_timer()
        phase = self.timeline.phase
        if not self._start_timeout or phase is Phase.DOWNLOAD or phase.rank >= Phase.READY.rank:
            return
        seconds = self.timeline.seconds(time.monotonic())
        seconds.pop(Phase.DOWNLOAD, None)
        left = self._start_timeout - sum(seconds.values())
        self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._overdue.set)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _start_timed_out(self) -> StartTimeout:
        seconds = self.timeline.seconds(time.monotonic())
        said = self._output.last_line() if self._output else None
        return StartTimeout(self._start_timeout, self.timeline.phase, seconds, said)

    @contextlib.contextmanager
    def _events(self, loop: asyncio.AbstractEventLoop) -> Any:
        """Receive the phases that the engine's processes report."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(self._run_directory / EVENTS))
            events.setblocking(False)

            def on_event() -> None:
                with contextlib.suppress(BlockingIOError, ValueError):
                    while True:
                        self._hear(events.recv(64).decode())

            loop.add_reader(events, on_event)
            try:
                yield
            finally:
                loop.remove_reader(events)

    def _hear(self, word: str) -> None:
        """Take what a process of the engine reports."""
        if word == DRAINED:
            self._answering -= 1
            if self._answering <= 0:
                self._answered.set()
                self._answer_again()
            return
        phase = Phase(word)
        self._answering += phase is Phase.READY  # each API server says so
        self.enter(phase)

    def remove_run_directory(self) -> None:
        """Leave nothing in TMPDIR: for a launch that could not even :meth:`run`, too."""
        shutil.rmtree(self._run_directory, ignore_errors=True)


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
