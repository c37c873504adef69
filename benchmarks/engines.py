"""Compares vLLM's CPU engine with OpenVINO: tokens per second through the HTTP API.

Run as ``.venv-openvino/bin/python -m benchmarks.engines``. Each engine serves the same random model
of 135 million parameters. The engines answer in turn, and the others are paused meanwhile. Prints
output tokens per second for one stream and for sixteen.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.cpu import CONFIG
from benchmarks.pausable import PausableProcess
from benchmarks.report import rates_table
from demo import files
from demo.artifact import read_snapshot
from tests.support.launch import Launch, environment

PROMPT_TOKENS = 32
OUTPUT_TOKENS = 64
STREAMS = (1, 16)


class Side(NamedTuple):
    """One engine, and the variables that select it."""

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
    """A launch of one side, paused except in its turn."""

    def __init__(self, side: Side, model: Path, scratch: Path):
        self.side = side
        environ = environment(
            scratch,
            MODEL_ID=str(model),
            VLLM_OPENVINO_KVCACHE_SPACE="1",
            ARG=f"--max-num-seqs {max(STREAMS)} --no-enable-prefix-caching",
            **side.variables,
        )
        self._launch = Launch(environ, scratch / f"{side.name}.log")
        self._tree = PausableProcess(self._launch.process)
        self.end = self._tree.terminate

    def start(self) -> None:
        """Wait until the server is ready, warm it up, and pause it."""
        self._launch.until_ready()
        for streams in STREAMS:
            self._answer(streams)
        self._tree.pause()

    def tokens_per_second(self, streams: int) -> float:
        """Let the engine answer ``streams`` requests at once, and return its rate."""
        with self._tree.running():
            started = time.perf_counter()
            self._answer(streams)
            return streams * OUTPUT_TOKENS / (time.perf_counter() - started)

    def _answer(self, streams: int) -> None:
        bodies: list[dict[str, object]] = [
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
            assert set(pool.map(self._complete, bodies)) == {200}

    def _complete(self, body: dict[str, object]) -> int:
        """Send a completion request, and return the status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._launch.port, timeout=600)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/completions", json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
            return response.status


def compare(sides: Sequence[Side], runs: int) -> None:
    """Measure the sides in turn, and print the results."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        scratch = Path(directory)
        model = scratch / "model"
        model.mkdir()
        make_model(model)
        servers = []
        for side in sides:
            server = Server(side, model, scratch)
            stack.callback(server.end)
            server.start()
            servers.append(server)
        for streams in STREAMS:
            rounds = [
                {server.side.name: server.tokens_per_second(streams) for server in servers}
                for _ in range(runs)
            ]
            print(rates_table(f"{streams} at once, tokens/s", rounds), flush=True)


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=5, help="number of measured runs of each engine"
    )
    parser.add_argument("--only", help="only the engines with this word in their name")
    arguments = parser.parse_args()
    word = arguments.only or ""
    compare([side for side in SIDES if word in side.name], arguments.runs)


if __name__ == "__main__":
    main()
