"""The messages between the entrypoint and the engine's processes.

- The entrypoint sends one :class:`StartRequest` to the engine, on its standard input: options may
  contain keys, and every user of the machine can read a command line.
- Each of the engine's processes reports each :class:`Phase`, and each API server reports
  :data:`DRAINED`, as one datagram to the socket :data:`EVENTS` in the run directory. All processes
  inherit the directory's path in :data:`RUN_DIRECTORY_VARIABLE`.
- The entrypoint keeps :data:`STATUS` up to date in the same directory. The engine's server shows it
  as ``/v1/status``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

RUN_DIRECTORY_VARIABLE = "INFERENCE_SERVER_RUN_DIRECTORY"
OPENVINO_MODEL_VARIABLE = "INFERENCE_SERVER_OPENVINO_MODEL"
"""Directory of the OpenVINO model. If it is set, OpenVINO's engine runs instead of vLLM's."""
TARBALL_VARIABLE = "INFERENCE_SERVER_TARBALL"
"""Path of the index of the tarball to load the weights from; see
:mod:`entrypoint.shared.tarball_index`."""
TARBALL_INDEX = "tarball.json"
"""File name of that index."""
TARBALL_FORMAT = "tarball"
"""The load format that reads it (:mod:`server.tarball`)."""
CODE_VARIABLE = "INFERENCE_SERVER_CODE_FROM"
"""The directories that a model's Python code may come from, as a JSON list; see
:mod:`server.remote_code`."""
MODULES = "modules"
"""Folder in the run directory that transformers copies such code to and imports it from. A folder
of an earlier launch could contain anything."""
EVENTS = "events"
STATUS = "status.json"
DRAINED = "drained"
"""What an API server reports during a stop, once it has finished all its responses."""
SEND_SECONDS = 2.0
"""How long a report waits for room in the socket's queue."""


class Phase(StrEnum):
    """The phases of a launch, in order."""

    RESOLVE = "resolve"
    DOWNLOAD = "download"
    UNPACK = "unpack"
    VERIFY = "verify"
    CONVERT = "convert"
    IMPORT = "import"
    WEIGHTS = "weights"
    COMPILE = "compile"
    WARM_UP = "warm-up"
    READY = "ready"
    STOPPING = "stopping"

    @property
    def rank(self) -> int:
        """Position in the order, from 0."""
        return list(Phase).index(self)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What the engine is asked to run.

    Attributes:
        argv: vLLM's options, as after ``vllm serve``.
        listener: Inherited file descriptor of the listening socket; None if vLLM binds itself.
        parent: Process id of the entrypoint. The engine ends if the entrypoint does.
        grace: Seconds that the engine gets to stop once its parent has died.
    """

    argv: list[str]
    listener: int | None
    parent: int
    grace: float

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> StartRequest:
        return cls(**json.loads(data))


def report_phase(phase: Phase) -> None:
    """Report to the entrypoint that this process has reached a phase.

    Does nothing outside a launch, and never fails. After READY it returns once the entrypoint has
    stopped accepting connections, so that only one of the two answers.
    """
    sent = _send(phase.value)
    deadline = time.monotonic() + SEND_SECONDS
    while sent and phase is Phase.READY and time.monotonic() < deadline:
        status = read_status()
        if status is not None and Phase(status["phase"]).rank >= Phase.READY.rank:
            break
        time.sleep(0.005)


def report_drained() -> None:
    """Report to the entrypoint that this API server has finished its responses."""
    _send(DRAINED)


def _run_directory() -> Path | None:
    """Return the launch's run directory, None outside a launch."""
    directory = os.environ.get(RUN_DIRECTORY_VARIABLE)
    return Path(directory) if directory else None


def _send(report: str) -> bool:
    directory = _run_directory()
    if directory is None:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # the queue is short, and the hand-over depends on READY: wait for room
        sender.settimeout(SEND_SECONDS)
        sender.sendto(report.encode(), str(directory / EVENTS))
        return True
    return False


def stopping_seconds() -> float:
    """Return how long the launch has been stopping; 0 if it is not, or outside a launch.

    The entrypoint receives the signal before the engine's processes do.
    """
    status = read_status()
    if status is None or Phase(status["phase"]) is not Phase.STOPPING:
        return 0.0
    return float(status["seconds_in_phase"])


def read_status() -> dict[str, Any] | None:
    """Return the launch's current status, None outside a launch.

    The file is written at the start of each phase, so its seconds are advanced to now. Both sides
    read the same clock: ``CLOCK_MONOTONIC`` counts from the machine's start.
    """
    directory = _run_directory()
    if directory is None:
        return None
    try:
        status: dict[str, Any] = json.loads((directory / STATUS).read_bytes())
    except (OSError, ValueError):
        return None
    passed = time.monotonic() - status.pop("as_of")
    for key in ("seconds", "seconds_in_phase"):
        status[key] = round(status[key] + passed, 3)
    status["phases"][status["phase"]] = status["seconds_in_phase"]
    return status
