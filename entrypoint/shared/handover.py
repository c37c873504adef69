"""What the light process and the engine's processes tell each other. Plain data only.

Down, once, on the engine's standard input: :class:`Orders`. There, and not on its command line,
because options may hold keys and a command line can be read by everyone on the machine.

Up, from each of the engine's processes: one datagram a :class:`Phase`, and from each API server
:data:`ANSWERED`, to the socket ``events`` in the run directory, whose path every process inherits
in the environment. Beside it lies ``status.json``, which the engine's server shows as
``/v1/status``.
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
"""Directory of the OpenVINO model; with it the engine is OpenVINO's, without it vLLM's own."""
TARBALL_VARIABLE = "INFERENCE_SERVER_TARBALL"
"""Path of the index of a tarball that the weights are loaded out of; see
:mod:`entrypoint.store.tarballs.packed`."""
TARBALL_INDEX = "tarball.json"
"""What that index is called."""
TARBALL_FORMAT = "tarball"
"""The load format that does so (server.tarball)."""
CODE_VARIABLE = "INFERENCE_SERVER_CODE_FROM"
"""The directories that Python code of a model may come from, as a JSON list; see
:mod:`server.remote_code`."""
MODULES = "modules"
"""Folder in the run directory that transformers copies such code to, and runs it from: an older
one's could hold anything."""
EVENTS = "events"
STATUS = "status.json"
ANSWERED = "answered"
"""What an API server that stops says once each of its answers has ended."""
SEND_SECONDS = 2.0
"""How long a report waits for room in the queue."""


class Phase(StrEnum):
    """Where a launch is, in the order of time."""

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
        """Position in time, 0 first."""
        return list(Phase).index(self)


@dataclass(frozen=True, slots=True)
class Orders:
    """What the engine is to do.

    Attributes:
        argv: vLLM's options, what follows ``vllm serve``.
        listener: Number of the inherited file descriptor of the listening socket; None where
            vLLM has to bind by itself.
        parent: Process id of the light process, without which the engine must not run.
        grace: Seconds that the engine gets to stop once its parent has died.
    """

    argv: list[str]
    listener: int | None
    parent: int
    grace: float

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Orders:
        return cls(**json.loads(data))


def report(phase: Phase) -> None:
    """Tell the light process that this process has reached a phase.

    Does nothing outside a launch, and never fails: where nobody reads, there is nobody to tell.
    READY is waited for until the light process accepts no more connections, lest the two take
    turns in answering.
    """
    sent = _send(phase.value)
    deadline = time.monotonic() + SEND_SECONDS
    while sent and phase is Phase.READY and time.monotonic() < deadline:
        if _ready(read_status()):
            break
        time.sleep(0.005)


def report_answered() -> None:
    """Tell the light process that each answer of this API server has ended: it may be killed."""
    _send(ANSWERED)


def _send(word: str) -> bool:
    directory = os.environ.get(RUN_DIRECTORY_VARIABLE)
    if directory is None:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # not at once: the queue holds few, and READY is what the hand-over waits for
        sender.settimeout(SEND_SECONDS)
        sender.sendto(word.encode(), str(Path(directory) / EVENTS))
        return True
    return False


def _ready(status: dict[str, Any] | None) -> bool:
    return status is not None and Phase(status["phase"]).rank >= Phase.READY.rank


def stopping_seconds() -> float:
    """Return for how long the launch has been stopping, 0 if it is not or there is none.

    The engine's processes hear of a stop only after the light process has.
    """
    status = read_status()
    if status is None or status["phase"] != Phase.STOPPING:
        return 0.0
    return float(status["seconds_in_phase"])


def read_status() -> dict[str, Any] | None:
    """Return the launch's status as it is now, None outside a launch.

    The file was written when the phase began; its seconds are moved on to now. Both processes
    read the same clock: ``CLOCK_MONOTONIC`` counts from the machine's start.
    """
    directory = os.environ.get(RUN_DIRECTORY_VARIABLE)
    if directory is None:
        return None
    try:
        status: dict[str, Any] = json.loads((Path(directory) / STATUS).read_bytes())
    except (OSError, ValueError):
        return None
    passed = time.monotonic() - status.pop("as_of")
    for key in ("seconds", "seconds_in_phase"):
        status[key] = round(status[key] + passed, 3)
    status["phases"][status["phase"]] = status["seconds_in_phase"]
    return status
