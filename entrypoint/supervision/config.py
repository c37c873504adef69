"""The configuration of a supervisor."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrypoint.logs.writer import LogWriter
from entrypoint.planning.listen import Listen
from entrypoint.status.server import UNGUARDED, Guard
from entrypoint.supervision.engine_process import COMMAND
from entrypoint.supervision.preparation import Prepare


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """What a supervisor needs to know about its launch.

    Attributes:
        listen: Where the launch listens.
        listener: The listening socket; the supervisor closes it.
        prepare: Finds and fetches the model and plans the launch; runs in a thread.
        environ: The environment that the engine inherits.
        scratch: The directory with the timings of earlier launches.
        temporary: The directory for the run directory.
        writer: Writes the engine's output.
        as_json: Whether to write the engine's lines as JSON records.
        start_timeout: START_TIMEOUT, in seconds.
        guard: Who may see the status while the model loads.
        command: The engine's command line.
        root: The directory that contains ``/proc`` and ``/sys``.
    """

    listen: Listen
    listener: socket.socket
    prepare: Prepare
    environ: Mapping[str, str]
    scratch: Path
    writer: LogWriter
    as_json: bool = False
    start_timeout: float = 0
    guard: Guard = UNGUARDED
    command: Sequence[str] = COMMAND
    root: Path = Path("/")
    temporary: Path = Path("/tmp")
