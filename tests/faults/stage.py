"""The surroundings of one launch: a model, its own directories, its environment and its command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.models import FALCON, write_snapshot
from tests.support.ports import free_port


@dataclass
class Stage:
    """One launch's surroundings, which a fault's injections change before the start.

    Attributes:
        place: The launch's own directory, with a short path.
        port: The port to listen on.
        environ: The command's complete environment.
        prefix: What runs the command: ``unshare``, ``prlimit``.
        cleanup: What to undo at the end.
        closed: Streams of the command without a reader: ``stdout``, ``stderr``.
    """

    place: Path
    port: int
    environ: dict[str, str]
    prefix: list[str] = field(default_factory=list)
    cleanup: ExitStack = field(default_factory=ExitStack)
    closed: set[str] = field(default_factory=set)

    @property
    def cache(self) -> Path:
        """The hub's cache with the model."""
        return self.place / "cache"

    @property
    def snapshot(self) -> Path:
        """The model's files."""
        return next(self.cache.glob("models--*/snapshots/*"))

    @property
    def scratch(self) -> Path:
        """The launch's scratch directory."""
        return self.place / "scratch"

    @property
    def temporary(self) -> Path:
        """``TMPDIR`` of the launch alone."""
        return self.place / "tmp"

    @property
    def termination(self) -> Path:
        """The termination message's file."""
        return self.place / "termination-log"

    def blob(self, name: str) -> Path:
        """The file behind one of the snapshot's links."""
        return (self.snapshot / name).resolve()

    def within(self, *words: str) -> None:
        """Run the command with another one."""
        self.prefix += words

    def mounting(self, script: str) -> None:
        """Run a script as root of a new mount namespace, then the command."""
        self.within("unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh")


Inject = Callable[[Stage], None]
"""Injects a fault before the start."""


@contextmanager
def a_stage() -> Iterator[Stage]:
    """Prepare one launch without a fault; undo everything at the end."""
    place = Path(tempfile.mkdtemp(prefix="fault-"))
    stage = Stage(place, free_port(), {})
    stage.temporary.mkdir()
    (place / "pids").mkdir()
    write_snapshot(stage.cache)
    stage.environ |= {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(place),
        "TMPDIR": str(stage.temporary),
        "XDG_CACHE_HOME": str(stage.scratch),
        "TERMINATION_LOG": str(stage.termination),
        "MODEL_ID": FALCON,
        "HF_HUB_CACHE": str(stage.cache),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "ACCELERATOR": "cpu",
        "HOST": "127.0.0.1",
        "PORT": str(stage.port),
        "SHUTDOWN_TIMEOUT": "2",
        "SCRIPT_PIDS": str(place / "pids"),
        "FAULT_CLOCK": str(place / "clock"),
        "FAULT_PLACE": str(place),
    }
    with stage.cleanup:
        try:
            yield stage
        finally:
            stage.cleanup.close()
            shutil.rmtree(place, ignore_errors=True)  # a process may still be removing its files
