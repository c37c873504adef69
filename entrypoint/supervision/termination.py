"""The termination message: the cause of a failure, for Kubernetes' terminationMessagePath."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from entrypoint.errors import InferenceServerError
from entrypoint.settings import Settings

DEFAULT: Path = Settings.model_fields["termination_log"].default
"""Where Kubernetes mounts the file."""
LIMIT_BYTES = 4096
"""How much of the file Kubernetes reads."""
OUTPUT = "\n\nThe engine's last lines:\n"


def termination_message(
    error: InferenceServerError, tail: Sequence[str], redact: Callable[[str], str]
) -> bytes:
    """Return the message: code, cause and fix, and as many of the engine's last lines as fit.

    Args:
        error: The error that ended the launch.
        tail: The last lines of the engine's output, masked.
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


def write_termination(message: bytes, path: Path) -> None:
    """Write the message to TERMINATION_LOG. Never fails: a launch must end in any case.

    The default path is written only if the file exists: outside a pod, nothing is left in ``/dev``.
    """
    # in place: the file is a mount and cannot be replaced; without waiting, in case it is a pipe
    flags = os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    flags |= 0 if path == DEFAULT else os.O_CREAT
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # the last is expanduser's
        descriptor = os.open(path.expanduser(), flags, 0o644)
        with open(descriptor, "wb") as file:
            file.write(message)


def _cut(text: bytes, limit: int) -> bytes:
    """Return the start of a text, up to the end of a character."""
    return text[:limit].decode(errors="ignore").encode() if len(text) > limit else text
