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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.messages import Job, Message, Result, decode, encode

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
    assert isinstance(job, Job)
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


@contextmanager
def reported(progress: Callable[[], Progress], send: Send) -> Iterator[None]:
    """Send the progress every half second while the block runs, and once at the end.

    Args:
        progress: Returns the progress.
        send: Sends it.
    """
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(SECONDS_BETWEEN_REPORTS):
            send(progress())

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        send(progress())
