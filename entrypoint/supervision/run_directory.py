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
from entrypoint.supervision.exhaustion import exhaustion

SOCKET_PATH_CHARACTERS = 107
"""The longest path of a Unix socket on Linux (unix(7))."""


STATUS_BYTES = 8 << 10
"""The size of the status file. It is the same for each status, so that a file system without space
can hold the next one in place of the last one."""


class RunDirectory:
    """A temporary directory for one launch; call :meth:`remove` at its end.

    Args:
        temporary: Where to create it.

    Attributes:
        path: The directory.

    Raises:
        MachineError: It cannot be created, nothing can be written to it, or its path is too long
            for a socket.
    """

    def __init__(self, temporary: Path) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="inference-server-", dir=temporary))
        except OSError as error:
            raise _unusable(temporary, error) from None
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

    def write_first_status(self, status: Mapping[str, Any]) -> None:
        """Write the status as :meth:`write_status` does, when nothing runs yet.

        Raises:
            MachineError: The directory takes no file: it is full, or a limit is reached.
        """
        try:
            write_text(self.path / STATUS, _status_text(status), durable=False)
        except OSError as error:
            raise _unusable(self.path.parent, error) from None

    def write_status(self, status: Mapping[str, Any]) -> str | None:
        """Write the status for the engine's server to show.

        Returns:
            Why the file system took no new file, None if it did. Then the status is in the old
            file, unless that is gone too.
        """
        text = _status_text(status)
        try:
            write_text(self.path / STATUS, text, durable=False)
        except OSError as error:
            with contextlib.suppress(OSError), (self.path / STATUS).open("r+") as file:
                file.write(text)
            return (
                f"Cannot write to {self.path.parent}, the directory for temporary files: "
                f"{error.strerror}. The engine may fail there too. Free some space in it."
            )
        return None

    def remove(self) -> None:
        """Remove the directory with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _status_text(status: Mapping[str, Any]) -> str:
    return json.dumps({**status, "as_of": time.monotonic()}).ljust(STATUS_BYTES)


def _unusable(temporary: Path, error: OSError) -> MachineError:
    return exhaustion(error) or MachineError(
        f"Cannot write to {temporary}, the directory for temporary files: {error.strerror}.",
        variable="TMPDIR",
        hint="Mount a writable volume with free space on /tmp, or set TMPDIR to a directory on "
        "one. If a quota or a limit on file sizes is reached, raise it (ulimit -f).",
    )
