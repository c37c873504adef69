"""A supervisor in this process with the scripted engine, and a client that acts on it."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from entrypoint.logs.writer import LogWriter
from entrypoint.planning.listen import Listen
from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import Phase
from entrypoint.status.listener import open_listener
from entrypoint.supervision.config import SupervisorConfig
from entrypoint.supervision.preparation import Reporter
from entrypoint.supervision.supervisor import Supervisor
from tests.support.ports import free_port
from tests.support.samples import a_plan

COMMAND = (sys.executable, "-m", "tests.support.scripted_engine")
WAIT_SECONDS = 30


class ScriptedLaunch:
    """A launch whose engine plays a script.

    Args:
        script: What the engine's main process does; see :mod:`tests.support.scripted_engine`.
        scratch: The scratch directory.
        client: Runs in a thread beside the launch.
        prepare: Prepares the launch, by default at once.
        shutdown_timeout: SHUTDOWN_TIMEOUT.
        root: The directory that contains ``/proc`` and ``/sys``.
        start_timeout: START_TIMEOUT.
        variables: Added to the environment.
    """

    def __init__(
        self,
        script: str,
        scratch: Path,
        client: Callable[[ScriptedLaunch], None] = lambda launch: None,
        prepare: Callable[[Reporter], LaunchPlan] | None = None,
        shutdown_timeout: int = 5,
        root: Path = Path("/"),
        start_timeout: float = 0,
        **variables: str,
    ):
        self.port = free_port()
        self.listen = Listen("127.0.0.1", self.port)
        self.plan = a_plan(self.listen, shutdown_timeout)
        self.scratch = scratch
        self._environ = {**os.environ, "SCRIPT": script, **variables}
        self._root = root
        self._start_timeout = start_timeout
        self._client = client
        self._prepare = prepare or (lambda reporter: self.plan)
        self._client_errors: list[BaseException] = []

    def run(self) -> int:
        """Run to the end and return the exit code."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        writer = LogWriter()
        with open_listener(self.listen) as listener:
            config = SupervisorConfig(
                listen=self.listen,
                listener=listener,
                prepare=self._prepare,
                environ=self._environ,
                scratch=self.scratch,
                writer=writer,
                start_timeout=self._start_timeout,
                command=COMMAND,
                root=self._root,
            )
            self.supervisor = Supervisor(config)
            thread = threading.Thread(target=self._act)
            thread.start()
            try:
                return await asyncio.wait_for(self.supervisor.run(), 60)
            finally:
                await asyncio.to_thread(thread.join)
                writer.close()
                if self._client_errors:
                    raise self._client_errors[0]

    def _act(self) -> None:
        try:
            self._client(self)
        except BaseException as error:
            self._client_errors.append(error)
            self.terminate()

    def get(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def wait_for_phase(self, phase: Phase) -> None:
        """Wait until the launch has reached a phase."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.supervisor.status.timeline.phase.rank < phase.rank:
            assert time.monotonic() < deadline, self.supervisor.status.timeline
            time.sleep(0.01)

    def wait_for_engine(self) -> None:
        """Wait until the engine answers."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.get("/v1/models")[1] != b"engine":
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def terminate(self) -> None:
        """Send SIGTERM to this process, which the supervisor handles."""
        os.kill(os.getpid(), signal.SIGTERM)
