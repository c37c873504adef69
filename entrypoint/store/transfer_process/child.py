"""The other side: what a process that transfers a model does with its standard streams.

A separate process, because the clients of the hub and of the stores take more memory than the
runtime may keep, and cannot be stopped in the middle of a request. The first line of standard
input is the job. When standard input ends, the parent is gone, and so is this process, whatever
it is doing. The messages go to standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping

from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.messages import (
    DownloadJob,
    Job,
    Message,
    PullJob,
    Result,
    decode,
    encode,
)

SECONDS_BETWEEN_REPORTS = 0.5

Send = Callable[[Message], None]
"""Sends a message to the parent process, from any thread."""

_sending = threading.Lock()


def serve(work: Callable[[Job, Mapping[str, str], Send], Result]) -> None:
    """Do the job of standard input, and send its result.

    Args:
        work: Does a job; called with the environment too, and with what sends messages.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too
    job = decode(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr  # what a library prints is not for the parent
    assert isinstance(job, DownloadJob | PullJob)
    send(work(job, os.environ, send))


def send(message: Message) -> None:
    """Send a message to the parent process. Ends this process if the parent is gone."""
    try:
        with _sending:
            print(encode(message), file=sys.__stdout__, flush=True)
    except BrokenPipeError:
        os._exit(1)  # from any thread: the transfer must not outlive its parent


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


class Reporter:
    """Sends the progress every half second while its block runs, and once at the end.

    Args:
        progress: Returns the progress.
        send: Sends it.
    """

    def __init__(self, progress: Callable[[], Progress], send: Send):
        self._progress = progress
        self._send = send
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._send(self._progress())

    def _run(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_REPORTS):
            self._send(self._progress())
