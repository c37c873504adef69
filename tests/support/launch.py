"""A launch as a user starts it: the command in its own process, with its own environment."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("inference-server")
DEMO_CACHE = ROOT / "demo" / "cache"
DEMO = "inference-server/Demo-Llama"
KEY = "key-that-nobody-may-see"
"""The API key of the server that the end-to-end tests share."""
PAGE = "https://page.example"
"""The origin whose pages may read that server's answers."""
START_SECONDS = 600
"""How long a start may take on a slow machine."""
DRAIN_SECONDS = "120"
"""SHUTDOWN_TIMEOUT for tests that wait for the end of a long stream on a slow machine."""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment with only what a container has.

    Compiled code is kept in ``home``, so that only the first engine of a run compiles.
    """
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "VLLM_CACHE_ROOT": str(home / "vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **variables,
    }


def run(words: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [str(COMMAND), *words],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


def descendants(pid: int) -> dict[int, str]:
    """Return ``{process id: command line}`` of a process and everything below it."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry)] = int(stat[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            break
        found |= more
    lines: dict[int, str] = {}
    for each in found:
        try:
            lines[each] = Path(f"/proc/{each}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return lines


class Launch:
    """``inference-server serve``, running."""

    def __init__(self, environ: Mapping[str, str], log: Path):
        self.port = free_port()
        self.log = log
        self.started = time.monotonic()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(COMMAND), "serve"],
                env={"HOST": "127.0.0.1", "PORT": str(self.port), **environ},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        key: str | None = None,
        method: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request, by default GET, or POST with a body; return status, headers and body.

        The names of the headers are in lower case.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            default = "GET" if body is None else "POST"
            connection.request(method or default, path, body, headers)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return response.status, named, response.read()
        finally:
            connection.close()

    def chat(self, question: str, model: str, key: str | None = None) -> dict[str, Any]:
        """Ask the model a question at temperature 0; return the answer."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": 60,
        }
        status, _, answer = self.ask("/v1/chat/completions", json.dumps(body).encode(), key)
        assert status == 200, answer
        document: dict[str, Any] = json.loads(answer)
        return document

    def until_listening(self) -> float:
        """Wait for the first connection; return the seconds since the start."""
        while True:
            assert self.process.poll() is None, self.tail()
            try:
                self.ask("/health/live")
            except ConnectionRefusedError:
                assert time.monotonic() < self.started + 60, self.tail()
                time.sleep(0.005)
            else:
                return time.monotonic() - self.started

    def until_ready(self) -> Launch:
        """Wait until the model is served."""
        self.until_listening()
        while self.ask("/health/ready")[0] != 200:
            assert self.process.poll() is None, self.tail()
            assert time.monotonic() < self.started + START_SECONDS, self.tail()
            time.sleep(0.2)
        return self

    def until_phase(self, phase: str) -> None:
        """Wait until ``/v1/status`` names a phase."""
        while json.loads(self.ask("/v1/status")[2])["phase"] != phase:
            assert self.process.poll() is None, self.tail()
            assert time.monotonic() < self.started + START_SECONDS, self.tail()
            time.sleep(0.05)

    def until_the_engine_runs(self) -> set[int]:
        """Wait for the engine's main process; return the process ids below the entrypoint."""
        self.until_phase("import")
        while not (below := set(descendants(self.process.pid)) - {self.process.pid}):
            assert self.process.poll() is None, self.tail()
            time.sleep(0.01)
        return below

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal, wait, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def tail(self) -> str:
        """Return the end of the log, for the message of a failed test."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])
