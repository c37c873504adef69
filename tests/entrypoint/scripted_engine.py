"""A stand-in for the engine: speaks the same hand-over and plays the script in $SCRIPT.

Words, in order: a phase to report, ``serve`` (answer on the inherited socket), ``hang``,
``ignore-sigterm``, ``exit=N``, ``kill=N`` (die of signal N), ``oom=FILE`` (count one process more
that the kernel killed for want of memory, in a cgroup's file).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path

from entrypoint.handover import Orders, Phase, report


def _answer(listener: socket.socket) -> None:
    # not set to blocking: the mode belongs to the socket, which the other side accepts on too
    while True:
        select.select([listener], [], [])
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nengine")


def main() -> None:
    """Play the script."""
    orders = Orders.load(sys.stdin.buffer.read())
    for word in os.environ["SCRIPT"].split():
        name, _, value = word.partition("=")
        if name == "serve":
            assert orders.listener is not None
            listener = socket.socket(fileno=orders.listener)
            report(Phase.READY)
            threading.Thread(target=_answer, args=[listener], daemon=True).start()
        elif name == "hang":
            while True:
                signal.pause()
        elif name == "ignore-sigterm":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif name == "oom":
            Path(value).write_text("oom 1\noom_kill 1\n")
        elif name == "exit":
            sys.exit(int(value))
        elif name == "kill":
            os.kill(os.getpid(), int(value))
        else:
            report(Phase(name))


if __name__ == "__main__":
    main()
