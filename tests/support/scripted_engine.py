"""A stand-in for the engine: speaks the same hand-over and plays the script in $SCRIPT.

Words, in order, split as a shell does; each is done before the next one begins:

- a phase (``weights``, ``compile``, ...): report it;
- ``log=FILE``, ``error-log=FILE``: write a file's bytes to standard output, or standard error;
- ``say=TEXT``: write a line to standard output;
- ``garbage=N``: write N bytes that are neither text nor a line to both streams;
- ``sleep=SECONDS``: a slow load;
- ``wait=FILE``: go on once the file is there;
- ``oom=FILE``: count, in a cgroup's file, one process more that was killed for want of memory;
- ``spawn=ROLE``: start a child process that plays the script in $SCRIPT_ROLE (``spawn=core`` plays
  $SCRIPT_CORE), which may spawn children itself: main, core and workers make a tree as vLLM's;
- ``follow=ROLE``: from now on, end with exit code 1 when that child ends, as vLLM's main process
  does; without it the process goes on as if nothing had happened;
- ``detach``: leave the process group, as a helper with a session of its own;
- ``ignore-sigterm``;
- ``drain=SECONDS``: from now on, end with exit code 0 so many seconds after SIGTERM;
- ``answer=SECONDS``: from now on, tell so many seconds after SIGTERM that every answer has ended,
  answer no more, and go on;
- ``serve``: report ready, and answer every request on the inherited socket with ``engine``;
- ``hang``: for ever; ``exit=N``; ``kill=N``: die of signal N.

A process whose script is played ends with exit code 0. Each watches over its parent, as the
engine's do (server.parent). With $SCRIPT_PIDS, a directory, each process
first writes its id to the file there that is called by its role, ``main`` for the first, so that a
test can kill it: with a tree, each fault is one script and one signal. For instance, a core that
is killed as it loads, and a main process that notices::

    SCRIPT="import spawn=core follow=core hang"
    SCRIPT_CORE="weights spawn=worker say='loading' hang"  SCRIPT_WORKER="hang"
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from entrypoint.shared.handover import Phase, StartRequest, report_drained, report_phase
from server.parent import die_with, end_with

ROLE_VARIABLE = "SCRIPT_ROLE_NAME"
ANSWERS = "answers"
"""The name of the thread that answers requests."""
_answered = threading.Event()
NOT_TEXT = bytes([0xFF, 0xFE, 0x00, 0x9B, 0xC3])
"""No part of it is UTF-8, and one byte is a terminal's control character."""


def _answer(listener: socket.socket) -> None:
    # not set to blocking: the mode belongs to the socket, which the other side accepts on too
    while not _answered.is_set():
        if not select.select([listener], [], [], 0.01)[0]:
            continue
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nengine")


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _spawn(role: str) -> subprocess.Popen[bytes]:
    script = os.environ[f"SCRIPT_{role.upper()}"]
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name if __spec__ else __name__],
        env={**os.environ, "SCRIPT": script, ROLE_VARIABLE: role},
        stdin=subprocess.DEVNULL,
    )


def _follow(child: subprocess.Popen[bytes]) -> None:
    child.wait()
    os._exit(1)


def _drain(seconds: float) -> None:
    def on_sigterm(*_: object) -> None:
        time.sleep(seconds)
        os._exit(0)

    signal.signal(signal.SIGTERM, on_sigterm)


def _end_answers(seconds: float) -> None:
    def on_sigterm(*_: object) -> None:
        time.sleep(seconds)
        _answered.set()
        report_drained()

    signal.signal(signal.SIGTERM, on_sigterm)


def _tell_pid(role: str) -> None:
    if directory := os.environ.get("SCRIPT_PIDS"):
        partial = Path(directory, f".{role}")
        partial.write_text(str(os.getpid()))
        partial.replace(Path(directory, role))


def play(script: str, orders: StartRequest | None) -> None:
    """Play a script.

    Args:
        script: Its words.
        orders: What the entrypoint ordered; None in a child of the main process.
    """
    children: dict[str, subprocess.Popen[bytes]] = {}
    for word in shlex.split(script):
        name, _, value = word.partition("=")
        match name:
            case "log" | "error-log":
                _write(1 if name == "log" else 2, Path(value).read_bytes())
            case "say":
                _write(1, value.encode() + b"\n")
            case "garbage":
                for descriptor in (1, 2):
                    _write(descriptor, (NOT_TEXT * (int(value) // 5 + 1))[: int(value)])
            case "sleep":
                time.sleep(float(value))
            case "wait":
                while not Path(value).exists():
                    time.sleep(0.01)
            case "oom":
                Path(value).write_text("oom 1\noom_kill 1\n")
            case "spawn":
                children[value] = _spawn(value)
            case "follow":
                threading.Thread(target=_follow, args=[children[value]], daemon=True).start()
            case "detach":
                os.setsid()
            case "ignore-sigterm":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "drain":
                _drain(float(value))
            case "answer":
                _end_answers(float(value))
            case "serve":
                assert orders is not None
                assert orders.listener is not None
                listener = socket.socket(fileno=orders.listener)
                report_phase(Phase.READY)
                threading.Thread(target=_answer, args=[listener], name=ANSWERS, daemon=True).start()
            case "hang":
                while True:
                    signal.pause()
            case "exit":
                sys.exit(int(value))
            case "kill":
                os.kill(os.getpid(), int(value))
            case _:
                report_phase(Phase(name))


def main() -> None:
    """Play the script of this process's role."""
    role = os.environ.get(ROLE_VARIABLE, "main")
    orders = None
    if role == "main":
        orders = StartRequest.load(sys.stdin.buffer.read())
        die_with(orders.parent, orders.grace)
    else:
        end_with(os.getppid())
    _tell_pid(role)
    play(os.environ["SCRIPT"], orders)


if __name__ == "__main__":
    main()
