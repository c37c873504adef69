"""Programs that drive real clients of the API, each in the client's own environment."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import CONCURRENT, QUEUED
from tests.support.deploy_tools import tool
from tests.support.launch import DEMO, KEY, ROOT, Launch

ENVIRONMENTS = ROOT / ".venv-clients"
NODE = ROOT / "tests/clients/node"
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
"""LiteLLM downloads its prices otherwise, and OpenAI's agents upload their traces."""
FULL_SECONDS = 60

Report = Mapping[str, Any]


def installed(path: Path) -> Path:
    """Return a file of a client's environment.

    The test fails if it is missing.
    """
    if not path.exists():
        pytest.fail(f"{path.relative_to(ROOT)} is missing. Install it with: make clients")
    return path


def python(client: str) -> list[str]:
    """Return the command that runs the program of a Python client."""
    interpreter = installed(ENVIRONMENTS / client / "bin/python")
    # without -P, the program's folder hides the packages that its modules are called after
    return [str(interpreter), "-P", "-m", f"tests.clients.python.{client.replace('-', '_')}"]


def own_python(client: str, needed: str) -> list[str]:
    """Return the command that runs a program here, which calls a tool."""
    tool(needed)
    return [sys.executable, "-P", "-m", f"tests.clients.python.{client}"]


def node(client: str) -> list[str]:
    """Return the command that runs the program of a client for Node.js."""
    installed(NODE / "node_modules")
    return [str(installed(ENVIRONMENTS / "node/bin/node")), str(NODE / f"{client}.mjs")]


class Program:
    """A running program, which reports what its client does in a check."""

    def __init__(self, words: list[str], server: Launch, log: Path):
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                words,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(log.parent),
                    "PYTHONPATH": str(ROOT),
                    "SERVER_URL": server.url,
                    "SERVER_KEY": KEY,
                    "SERVER_MODEL": DEMO,
                    **OFFLINE,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def report(self, check: str) -> Report:
        """Run a check; return what the client returned or raised."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{check}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its log has the reason
        line = self.process.stdout.readline()
        assert line, f"the program ended: {self.log.read_text(errors='replace')[-3000:]}"
        report: Report = json.loads(line)
        return report

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def running(words: list[str], server: Launch, log: Path) -> Iterator[Program]:
    """Run a program for a server."""
    program = Program(words, server, log)
    try:
        yield program
    finally:
        program.stop()


@contextmanager
def full(server: Launch) -> Iterator[None]:
    """Occupy every place and the queue of a server, so that it refuses further requests.

    No client reads its stream, whose chunks are large, so each keeps its place for a minute.
    """
    body = json.dumps(
        {
            "model": DEMO,
            "prompt": "MODEL_ID",
            "max_tokens": 2000,
            "ignore_eos": True,
            "logprobs": 5,
            "stream": True,
        }
    )
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    until_load(server, running=0, waiting=0)  # or an earlier request has one of the places
    with ExitStack() as stack:
        for _ in range(CONCURRENT + QUEUED):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=FULL_SECONDS)
            stack.enter_context(closing(connection))
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.request("POST", "/v1/completions", body, headers)
        until_load(server, running=CONCURRENT, waiting=QUEUED)
        yield


def until_load(server: Launch, running: int, waiting: int) -> None:
    """Wait until a server has this number of running and waiting requests."""
    expected = {
        f"inference_server_running_requests {running}.0",
        f"inference_server_waiting_requests {waiting}.0",
    }
    deadline = time.monotonic() + FULL_SECONDS
    while not expected <= set(server.ask("/metrics")[2].decode().splitlines()):
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.05)
