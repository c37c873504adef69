"""The directory through which the entrypoint and the engine's processes exchange reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from entrypoint.errors import MachineError
from entrypoint.shared.handover import EVENTS, STATUS
from entrypoint.store.writing.complete_file import write_text

SOCKET_PATH_CHARACTERS = 107
"""The longest path of a Unix socket on Linux (unix(7))."""


class RunDirectory:
    """A temporary directory for one launch; call :meth:`remove` at its end.

    Attributes:
        path: The directory.

    Raises:
        MachineError: It cannot be created, or its path is too long for a socket.
    """

    def __init__(self) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="inference-server-"))
        except OSError as error:
            raise MachineError(
                f"Cannot create a temporary directory: {error}.",
                variable="TMPDIR",
                hint="Mount a writable volume on /tmp, or set TMPDIR to a writable directory.",
            ) from None
        if len(str(self.path / EVENTS)) > SOCKET_PATH_CHARACTERS:
            self.path.rmdir()
            raise MachineError(
                f"TMPDIR={self.path.parent} is too long: a Unix socket's path in it would exceed "
                f"{SOCKET_PATH_CHARACTERS} characters.",
                variable="TMPDIR",
                hint="Set TMPDIR to a shorter path, such as /tmp.",
            )

    @contextlib.contextmanager
    def reports(self, on_report: Callable[[str], None]) -> Iterator[None]:
        """Call ``on_report`` with each report of the engine's processes, in the running loop."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
            events.bind(str(self.path / EVENTS))
            events.setblocking(False)

            def receive() -> None:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        on_report(events.recv(64).decode(errors="replace"))

            loop.add_reader(events, receive)
            try:
                yield
            finally:
                loop.remove_reader(events)

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Write the status for the engine's server to show; a full disk makes it outdated."""
        text = json.dumps({**status, "as_of": time.monotonic()})
        with contextlib.suppress(OSError):
            write_text(self.path / STATUS, text, durable=False)

    def remove(self) -> None:
        """Remove the directory with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
