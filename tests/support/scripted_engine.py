"""A stand-in for the engine: it speaks the same hand-over and plays the script in $SCRIPT.

A script is a list of words, split as a shell splits them. Each word is finished before the next one
starts:

- a phase (``weights``, ``compile``, ...): report it;
- ``log=FILE``, ``error-log=FILE``: write a file's bytes to standard output, or to standard error;
- ``say=TEXT``: write a line to standard output;
- ``garbage=N``: write N bytes that are neither text nor a line to both streams;
- ``sleep=SECONDS``: a slow load;
- ``wait=FILE``: wait until the file exists;
- ``oom=FILE``: count one more process killed for memory in a cgroup's file;
- ``spawn=ROLE``: start a child process that plays $SCRIPT_ROLE (``spawn=core`` plays $SCRIPT_CORE).
  It may spawn children itself: main, core and workers form a tree as vLLM's do;
- ``follow=ROLE``: from now on, exit with code 1 when that child ends, as vLLM's main process does;
  without it the end of a child changes nothing;
- ``detach``: leave the process group, as a helper with its own session does;
- ``ignore-sigterm``;
- ``drain=SECONDS``: from now on, exit with code 0 this long after SIGTERM;
- ``answer=SECONDS``: from now on, this long after SIGTERM, stop answering, report drained, and keep
  running;
- ``serve``: report ready, and answer every request on the inherited socket with ``engine``;
- ``hang``: forever; ``exit=N``; ``kill=N``: die of signal N.

A process exits with code 0 at the end of its script. Each one watches its parent, as the engine's
processes do (server.parent). If $SCRIPT_PIDS is a directory, each process first writes its id to a
file there named after its role, ``main`` for the first one, so that a test can kill it. Example: a
core that is killed while it loads, and a main process that notices::

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
_stop_answering = threading.Event()
NOT_TEXT = bytes([0xFF, 0xFE, 0x00, 0x9B, 0xC3])
"""Bytes that are not UTF-8; one is a control character of terminals."""


def _answer(listener: socket.socket) -> None:
    # not set to blocking: both sides share the socket and thus its mode
    while not _stop_answering.is_set():
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


def _stop_answers(seconds: float) -> None:
    def on_sigterm(*_: object) -> None:
        time.sleep(seconds)
        _stop_answering.set()
        for thread in threading.enumerate():
            if thread.name == ANSWERS:
                thread.join()
        report_drained()

    signal.signal(signal.SIGTERM, on_sigterm)


def _write_pid(role: str) -> None:
    if directory := os.environ.get("SCRIPT_PIDS"):
        partial = Path(directory, f".{role}")
        partial.write_text(str(os.getpid()))
        partial.replace(Path(directory, role))


def play(script: str, request: StartRequest | None) -> None:
    """Play a script.

    Args:
        script: Its words.
        request: What the entrypoint asked for; None in a child of the main process.
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
                _stop_answers(float(value))
            case "serve":
                assert request is not None
                assert request.listener is not None
                listener = socket.socket(fileno=request.listener)
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
    """Play the script for this process's role."""
    role = os.environ.get(ROLE_VARIABLE, "main")
    request = None
    if role == "main":
        request = StartRequest.load(sys.stdin.buffer.read())
        die_with(request.parent, request.grace)
    else:
        end_with(os.getppid())
    _write_pid(role)
    play(os.environ["SCRIPT"], request)


if __name__ == "__main__":
    main()
