"""The termination message: why a launch ended, where Kubernetes' terminationMessagePath is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from entrypoint.errors import InferenceServerError

DEFAULT = Path("/dev/termination-log")
"""Where Kubernetes mounts the file."""
LIMIT_BYTES = 4096
"""What Kubernetes reads of it."""
OUTPUT = "\n\nThe engine's last lines:\n"


def termination_message(
    error: InferenceServerError, tail: Sequence[str], redact: Callable[[str], str]
) -> bytes:
    """Return the message: code, cause and repair, and of the engine's output what fits.

    Args:
        error: What the launch ended with.
        tail: The last lines of the engine's output, without secrets.
        redact: Masks the secrets in the error.
    """
    head = f"{error.code} (exit code {error.exit_code}): {error.message}"
    if error.hint:
        head += f"\n{error.hint}"
    message = _cut(redact(head).encode(errors="replace"), LIMIT_BYTES)
    room = LIMIT_BYTES - len(message) - len(OUTPUT)
    kept: list[bytes] = []
    for line in reversed(tail):
        encoded = line.encode(errors="replace") + b"\n"
        if len(encoded) > room:
            break
        room -= len(encoded)
        kept.append(encoded)
    return message + OUTPUT.encode() + b"".join(reversed(kept)) if kept else message


def write_termination(message: bytes, environ: Mapping[str, str]) -> None:
    """Write the message to TERMINATION_LOG, if there is such a file or it is asked for.

    The default is written to only if it exists: nothing is left behind in ``/dev`` of a machine
    that is no pod. Never fails: a launch's end must not depend on it.
    """
    named = environ.get("TERMINATION_LOG")
    # in place: the file is a mount, which cannot be replaced; and no waiting, should it be a pipe
    flags = os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_CREAT if named else 0)
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(Path(named).expanduser() if named else DEFAULT, flags, 0o644)
        with open(descriptor, "wb") as file:
            file.write(message)


def _cut(text: bytes, limit: int) -> bytes:
    """Return the beginning of a text, to the end of a character."""
    return text[:limit].decode(errors="ignore").encode() if len(text) > limit else text
