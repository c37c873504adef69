"""Our side of a transfer in a separate process: report its progress, return its result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from entrypoint.store.progress import OnProgress, Progress
from entrypoint.store.transfer_process.messages import (
    CRASHED,
    Failure,
    Job,
    Message,
    Notice,
    Result,
    decode,
    encode,
)

PACKAGES = Path(__file__).parents[3]
"""The folder that this package is imported from."""


def transfer(module: str, job: Job, environ: Mapping[str, str], on_progress: OnProgress) -> Result:
    """Do a job in a separate process, and return its result.

    Args:
        module: What the process runs; see :mod:`entrypoint.store.transfer_process.child`.
        job: What to transfer.
        environ: The environment of the process.
        on_progress: Called with each report of the process. What it raises ends the process.
    """
    result: Result | None = None
    with closing(run_process(module, job, environ)) as messages:
        for message in messages:
            if isinstance(message, Progress):
                on_progress(message)
            elif isinstance(message, Notice):
                notify(message.text)
            elif isinstance(message, Result):
                result = message
    assert result is not None
    return result


def notify(text: str) -> None:
    """Print a line for the user on standard error."""
    print(f"inference-server: {text}", file=sys.stderr, flush=True)


def run_process(module: str, job: Job, environ: Mapping[str, str]) -> Generator[Message]:
    """Run the process and yield its messages, the result last; close this to end the process."""
    ended = False
    with subprocess.Popen(
        # -P: no module comes from the working directory
        (sys.executable, "-P", "-m", module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(environ),
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            _send(process, job)
            for line in process.stdout:
                message = decode(line)
                ended = isinstance(message, Result)
                yield message
        except BaseException:
            process.kill()
            raise
    if not ended:
        yield Failure(CRASHED, f"exit status {process.returncode}")


def _send(process: subprocess.Popen[str], job: Job) -> None:
    """Send the job, and leave the pipe open: the process ends when the pipe closes.

    By a pipe, because other users can read arguments, and the job may hold a secret.
    """
    assert process.stdin is not None
    try:
        process.stdin.write(encode(job) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that imports what this one does."""
    packages = (str(PACKAGES), *(path for path in sys.path if path))
    return {**environ, "PYTHONPATH": os.pathsep.join(packages)}
