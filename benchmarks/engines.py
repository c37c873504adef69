"""Compares vLLM's CPU engine with OpenVINO: tokens per second through the HTTP API.

Run as ``.venv-openvino/bin/python -m benchmarks.engines``. One random model of 135 million
parameters, served by each engine; the engines answer in turn in one run, and those whose turn it
is not are stopped meanwhile. Prints output tokens a second for one stream and for sixteen.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.cpu import CONFIG
from benchmarks.light import spread
from demo import files
from demo.artifact import read_snapshot

COMMAND = Path(sys.executable).with_name("inference-server")
PROMPT_TOKENS = 32
OUTPUT_TOKENS = 64
STREAMS = (1, 16)
START_SECONDS = 900


class Side(NamedTuple):
    """One engine, and the variables that choose it."""

    name: str
    variables: dict[str, str]


SIDES = (
    Side("vLLM CPU bfloat16", {"ACCELERATOR": "cpu", "DTYPE": "bfloat16"}),
    Side("vLLM CPU float32", {"ACCELERATOR": "cpu", "DTYPE": "float32"}),
    Side("OpenVINO fp16 weights", {"ACCELERATOR": "openvino"}),
    Side(
        "OpenVINO int8 weights",
        {"ACCELERATOR": "openvino", "VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS": "ON"},
    ),
)


def make_model(directory: Path) -> None:
    """Write a model with random weights, and the demo model's tokenizer, extended to fit."""
    torch.manual_seed(0)
    known = {name: value for name, value in CONFIG.items() if name not in ("architectures",)}
    model = LlamaForCausalLM(LlamaConfig(**known)).to(torch.bfloat16)
    model.save_pretrained(directory)
    snapshot = read_snapshot(files.CACHE, files.REPOSITORY)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (directory / name).write_text((snapshot / name).read_text())
    tokenizer = json.loads((snapshot / files.TOKENIZER_FILE).read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for token in range(len(vocabulary), int(str(CONFIG["vocab_size"]))):
        vocabulary[f"zz{token}"] = token
    (directory / files.TOKENIZER_FILE).write_text(json.dumps(tokenizer))


class Server:
    """An engine behind its HTTP API, stopped except in its turn."""

    def __init__(self, side: Side, model: Path, scratch: Path, port: int):
        self.side = side
        self._port = port
        self._log = scratch / f"{port}.log"
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "MODEL_ID": str(model),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_OPENVINO_KVCACHE_SPACE": "1",
            "ARG": f"--max-num-seqs {max(STREAMS)} --no-enable-prefix-caching",
            **side.variables,
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(COMMAND), "serve"], env=environ, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait()
            for streams in STREAMS:
                self._answer(streams)
        except BaseException:
            self.end()
            raise
        self._signal(signal.SIGSTOP)

    def tokens_per_second(self, streams: int) -> float:
        """Let the engine answer ``streams`` requests at once, and return its rate."""
        self._signal(signal.SIGCONT)
        begin = time.perf_counter()
        self._answer(streams)
        seconds = time.perf_counter() - begin
        self._signal(signal.SIGSTOP)
        return streams * OUTPUT_TOKENS / seconds

    def end(self) -> None:
        """Stop the server as a user does."""
        self._signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(60)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self._ask("GET", "/health/ready") == 200:
                    return
            time.sleep(1)
        raise RuntimeError(f"{self.side.name} did not start:\n{self._log.read_text()[-3000:]}")

    def _answer(self, streams: int) -> None:
        bodies = [
            {
                "model": "model",
                "prompt": [100 + 1000 * stream + n for n in range(PROMPT_TOKENS)],
                "max_tokens": OUTPUT_TOKENS,
                "temperature": 0,
                "ignore_eos": True,
            }
            for stream in range(streams)
        ]
        with ThreadPoolExecutor(streams) as pool:
            asked = [pool.submit(self._ask, "POST", "/v1/completions", body) for body in bodies]
            assert {future.result() for future in asked} == {200}

    def _ask(self, method: str, path: str, body: object = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
            return response.status

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the entrypoint and all its descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            for each in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(number)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def compare(sides: Sequence[Side], runs: int) -> None:
    """Measure the sides in turn, and print."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        scratch = Path(directory)
        model = scratch / "model"
        model.mkdir()
        make_model(model)
        servers = []
        for side in sides:
            server = Server(side, model, scratch, free_port())
            stack.callback(server.end)
            servers.append(server)
        for streams in STREAMS:
            rounds = [
                [server.tokens_per_second(streams) for server in servers] for _ in range(runs)
            ]
            print(f"{streams} at once, tokens/s:")
            for position, server in enumerate(servers):
                ratio = statistics.median(one[position] / one[0] for one in rounds)
                rate = spread([one[position] for one in rounds], 1)
                print(f"  {server.side.name:<24} {rate}, ratio {ratio:.2f}", flush=True)


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each engine")
    parser.add_argument("--only", help="only the engines with this word in their name")
    arguments = parser.parse_args()
    word = arguments.only or ""
    compare([side for side in SIDES if word in side.name], arguments.runs)


if __name__ == "__main__":
    main()
