"""The supervisor of a launch, from its first second to its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from entrypoint.planning.plan import LaunchPlan
from entrypoint.secrets import Redactor
from entrypoint.shared.handover import DRAINED, Phase, StartRequest
from entrypoint.status.launch_status import LaunchStatus
from entrypoint.status.listener import listening_at
from entrypoint.status.server import StatusServer
from entrypoint.supervision.blame import name_setting
from entrypoint.supervision.config import SupervisorConfig
from entrypoint.supervision.engine_output import EngineOutput
from entrypoint.supervision.engine_process import (
    EngineProcess,
    adopt_orphans,
    engine_environment,
    kill_descendants,
)
from entrypoint.supervision.memory_watch import MemoryWatch
from entrypoint.supervision.preparation import Preparation, Reporter
from entrypoint.supervision.run_directory import RunDirectory
from entrypoint.supervision.start_timer import StartTimer

log = logging.getLogger("inference-server")

LOADING_STOP_SECONDS = 1.0
"""How long an engine that is still loading gets to stop: it has no request to finish."""

DRAIN_MARGIN_SECONDS = 1.3
"""How long the engine gets beyond SHUTDOWN_TIMEOUT, at most, to end the responses it has cut."""

KILLED_SECONDS = 0.5
"""How long a stop waits for processes that it has killed. With the margin, less than 2 seconds."""

OUTPUT_SECONDS = 1.0
"""How long to wait for the end of the engine's output once all of its processes have ended."""

STOP_OUTPUT_SECONDS = 0.2
"""The same after a stop, which has a deadline."""


WATCH_SECONDS = 10.0
"""How often to check that the run directory takes files."""


class EndCause(Enum):
    """Why a launch ends."""

    STOP_REQUESTED = auto()
    START_TIMEOUT = auto()
    ENGINE_EXITED = auto()


@dataclass(frozen=True, slots=True)
class _Engine:
    """A started engine."""

    plan: LaunchPlan
    process: EngineProcess
    output: EngineOutput
    memory: MemoryWatch


class Supervisor:
    """Answers while the model loads, starts the engine, and stays until the engine has stopped."""

    def __init__(self, config: SupervisorConfig):
        self.status = LaunchStatus(config.scratch)
        self._config = config
        self._preparation = Preparation(config.prepare)
        self._timer = StartTimer(config.start_timeout, self.status.timeline)
        self._stop = asyncio.Event()
        self._engine: _Engine | None = None
        self._status_servers: list[StatusServer] = []  # the last one answers, or did
        self._hand_over: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._serving = 0  # API servers that are ready and have not drained
        self._drained = asyncio.Event()

    async def run(self) -> int:
        """Run the launch and return its exit code.

        Raises:
            InferenceServerError: The launch cannot be prepared, the start takes too long, or the
                engine ends without having been asked to.
        """
        self._run_directory = RunDirectory(self._config.temporary)
        try:
            self._startup()
            with self._run_directory.reports(self._on_report):
                cause = await self._main_loop()
                return await self._shutdown(cause)
        finally:
            await self._clean_up()

    def _startup(self) -> None:
        """Handle signals, answer on the port, and start the timer.

        Raises:
            MachineError: The run directory takes no file.
        """
        self._run_directory.write_first_status(self.status.document())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        adopt_orphans()
        self._start_status_server()
        self._timer.restart()
        self._watch = asyncio.create_task(self._watch_run_directory())
        log.info("listening on %s", listening_at(self._config.listener, self._config.listen))

    async def _main_loop(self) -> EndCause:
        """Prepare the launch, run the engine, and return why the launch ends."""
        reporter = Reporter(self.status.timeline, self.enter, self.status.expect)
        preparing = asyncio.create_task(self._preparation.run(reporter))
        cause = await self._wait_for(preparing)
        if cause is not None:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
            return cause
        engine = await self._start_engine(preparing.result())
        return await self._wait_for(engine.exited) or EndCause.ENGINE_EXITED

    async def _shutdown(self, cause: EndCause) -> int:
        """Stop the engine and return the launch's exit code.

        Raises:
            StartTimeout: The start took too long.
            EngineFailed: The engine ended without having been asked to.
        """
        engine = self._engine
        if engine is not None and cause is EndCause.STOP_REQUESTED:
            await self._stop_engine(engine)
        elif engine is not None:
            self._answer_for_engine()
            await engine.process.end()
            await asyncio.to_thread(engine.output.finish, OUTPUT_SECONDS)
        if cause is EndCause.STOP_REQUESTED:
            log.info("stopped as asked")
            return 0
        if engine is None or cause is EndCause.START_TIMEOUT:
            raise self._timer.error(engine.output.last_line() if engine else None)
        # imported here: compiling the catalogue's patterns takes a while
        from entrypoint.diagnosis.diagnose import EngineExit, diagnose

        end = EngineExit(
            engine.process.exited.result(), self.status.timeline.phase, engine.memory.cause()
        )
        raise name_setting(diagnose(engine.output.tail.lines(), end), engine.plan.options)

    async def _clean_up(self) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        for server in self._status_servers:
            await server.stop(linger=0)
        self._config.listener.close()  # first: the search for descendants needs a descriptor
        kill_descendants()  # a download; after an unexpected error, the engine
        self._run_directory.remove()

    def tail(self) -> list[str]:
        """Return the engine's last lines, none if it was not started."""
        return self._engine.output.tail.lines() if self._engine else []

    def is_preparing(self) -> bool:
        """Whether the preparation still runs although the launch has ended."""
        return self._preparation.is_running()

    def enter(self, phase: Phase, processed: int = 0) -> None:
        """Enter a phase, unless it is past.

        Args:
            phase: The phase.
            processed: How many bytes of the model the previous phase processed.
        """
        if not self.status.enter(phase, processed):
            return
        self._timer.restart()
        if phase is Phase.READY:
            self._status_servers[-1].stop_accepting()
            self._hand_over = asyncio.create_task(self._status_servers[-1].stop())
        self._write_status()

    async def _wait_for(self, future: asyncio.Future[Any]) -> EndCause | None:
        """Wait until a future is done; return why if the launch has to end before."""
        ends = [asyncio.ensure_future(e.wait()) for e in (self._stop, self._timer.expired)]
        await asyncio.wait([future, *ends], return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if self._stop.is_set():
            return EndCause.STOP_REQUESTED
        return None if future.done() else EndCause.START_TIMEOUT

    async def _start_engine(self, plan: LaunchPlan) -> EngineProcess:
        config = self._config
        self.status.expect(plan)
        timeline = self.status.timeline
        self.enter(Phase.IMPORT, timeline.bytes_done)
        timeline.bytes_done = timeline.bytes_total = plan.model.bytes
        if plan.engine_binds:
            self._timer.cancel()  # such an engine does not have to report READY
            await self._status_servers[-1].stop()
            config.listener.close()
        listener = None if plan.engine_binds else config.listener
        memory = MemoryWatch(config.root)
        output = EngineOutput(config.writer, Redactor(config.environ), config.as_json)
        process = EngineProcess(
            StartRequest(
                list(plan.argv),
                listener.fileno() if listener else None,
                os.getpid(),
                plan.shutdown_timeout + DRAIN_MARGIN_SECONDS,
            ),
            engine_environment(config.environ, plan.dropped, plan.env, self._run_directory.path),
            listener,
            config.command,
            output.stdout,
            output.stderr,
        )
        self._engine = _Engine(plan, process, output, memory)
        output.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, process.reap)
        process.reap()  # it may have ended before the handler was added
        return process

    async def _stop_engine(self, engine: _Engine) -> None:
        # an engine with its own sockets does not have to report READY
        may_serve = engine.plan.engine_binds or Phase.READY in self.status.timeline.entered
        self.enter(Phase.STOPPING)
        if may_serve:
            await engine.process.stop(
                engine.plan.shutdown_timeout,
                KILLED_SECONDS,
                drained=self._drained,
                margin=DRAIN_MARGIN_SECONDS,
            )
        else:
            await engine.process.stop(LOADING_STOP_SECONDS, KILLED_SECONDS)
        await asyncio.to_thread(engine.output.finish, STOP_OUTPUT_SECONDS)

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if not self._stop.is_set():
            log.info("%s: stopping", name)
            self._stop.set()
        elif self._engine is not None:
            log.info("%s again: stopping at once", name)
            self._engine.process.kill()

    def _on_report(self, report: str) -> None:
        """Handle a report of one of the engine's processes."""
        if report == DRAINED:
            self._serving -= 1
            if self._serving <= 0:
                self._drained.set()
                self._answer_for_engine()
        elif report in set(Phase):
            phase = Phase(report)
            self._serving += phase is Phase.READY  # each API server reports it
            self.enter(phase)

    def _write_status(self) -> None:
        """Write the status for the engine's server, and warn if the run directory is full."""
        problem = self._run_directory.write_status(self.status.document())
        warnings = [problem] if problem else []
        if warnings == self.status.warnings:
            return
        if problem:
            log.warning("%s", problem)
        self.status.warnings = warnings
        self._run_directory.write_status(self.status.document())

    async def _watch_run_directory(self) -> None:
        """Notice if the run directory fills up while nothing else is written to it."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._write_status()

    def _answer_for_engine(self) -> None:
        """Answer new connections from now on, if the engine has taken over the socket."""
        answers_already = len(self._status_servers) > 1
        if self._hand_over and not answers_already and self._config.listener.fileno() != -1:
            self._start_status_server()

    def _start_status_server(self) -> None:
        config = self._config
        server = StatusServer(config.listener, config.listen, self.status.document, config.guard)
        server.start()
        self._status_servers.append(server)
