"""Compares settings of vLLM's CPU engine: dtypes, preloaded libraries, and the binding of threads.

Run as ``python -m benchmarks.cpu``. Each side is a separate engine with the same random model.
The sides answer in turn, and the others are paused meanwhile. Prints output tokens per
second for one stream and for sixteen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.pausable import PausableProcess
from benchmarks.report import rates_table
from entrypoint.hardware.preload import preload_libraries

# a Llama of 135 million parameters
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
PROMPT_TOKENS = 32
OUTPUT_TOKENS = 32
STREAMS = (1, 16)
QUESTIONS = ("dtype", "preload", "threads")


class Side(NamedTuple):
    """One engine of a comparison."""

    name: str
    dtype: str
    preload: tuple[str, ...]
    binding: str = "nobind"


def sides(question: str) -> list[Side]:
    """Return the engines to compare for a question. The first is the reference."""
    libraries = preload_libraries(Path("/"))
    every = tuple(libraries.values())
    if question == "dtype":
        return [Side(dtype, dtype, every) for dtype in ("bfloat16", "float32")]
    if question == "threads":
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        return [
            Side("vLLM's choice", "float32", every, "auto"),
            Side("one on each processor", "float32", every, cpus),
            Side("one for each processor, not bound", "float32", every, "nobind"),
        ]
    found = [Side("none", "float32", ())]
    found += [Side(name, "float32", (path,)) for name, path in libraries.items()]
    if len(libraries) > 1:
        found.append(Side(" and ".join(libraries), "float32", every))
    return found


class Engine:
    """An engine in its own process, paused except in its turn."""

    def __init__(self, side: Side, model: Path, log: Path, cores: int, eager: bool):
        self.side = side
        environ = {
            **os.environ,
            "LD_PRELOAD": ":".join(side.preload),
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": side.binding,
            "OMP_NUM_THREADS": str(cores),
        }
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.cpu"),
                    *("--engine", side.dtype, str(model)),
                    *(("--eager",) if eager else ()),
                ],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._tree = PausableProcess(self._process)
        self._answer()
        self._tree.pause()

    def tokens_per_second(self, streams: int) -> float:
        """Let the engine answer ``streams`` requests at once, and return its rate."""
        assert self._process.stdin is not None
        with self._tree.running():
            self._process.stdin.write(f"{streams}\n")
            self._process.stdin.flush()
            return streams * OUTPUT_TOKENS / float(self._answer())

    def end(self) -> None:
        """End the engine and all its processes."""
        self._tree.kill()

    def _answer(self) -> str:
        """Return the benchmark's next line of output, without vLLM's own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("benchmark "):
                return line.split()[1]
        raise RuntimeError(f"the engine for {self.side.name} has ended")


def run_engine(dtype: str, model: str, eager: bool) -> None:
    """Run the engine's process: answer as many requests as each line of standard input asks for."""
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    engine = LLM(
        model=model,
        dtype=dtype,
        load_format="dummy",
        skip_tokenizer_init=True,
        max_model_len=512,
        max_num_seqs=max(STREAMS),
        max_num_batched_tokens=max(STREAMS) * PROMPT_TOKENS,  # bounds the warm-up
        enable_prefix_caching=False,
        enforce_eager=eager,
    )
    sampling = SamplingParams(
        temperature=0, max_tokens=OUTPUT_TOKENS, ignore_eos=True, detokenize=False
    )

    def seconds(streams: int) -> float:
        prompts = [
            TokensPrompt(prompt_token_ids=[100 * stream + n for n in range(PROMPT_TOKENS)])
            for stream in range(streams)
        ]
        begin = time.perf_counter()
        engine.generate(prompts, sampling, use_tqdm=False)
        return time.perf_counter() - begin

    for streams in STREAMS:  # warm up
        seconds(streams)
    print("benchmark ready", flush=True)
    for line in sys.stdin:
        print("benchmark", seconds(int(line)), flush=True)


def compare(question: str, runs: int, cores: int, eager: bool) -> None:
    """Measure the sides of a question in turn, and print the results."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        model = Path(directory)
        (model / "config.json").write_text(json.dumps(CONFIG))
        engines: list[Engine] = []
        for side in sides(question):
            engine = Engine(side, model, model / f"{len(engines)}.log", cores, eager)
            stack.callback(engine.end)
            engines.append(engine)
        for streams in STREAMS:
            rounds = [
                {engine.side.name: engine.tokens_per_second(streams) for engine in engines}
                for _ in range(runs)
            ]
            print(rates_table(f"{question}, {streams} at once, tokens/s", rounds), flush=True)


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="number of measured runs of each side")
    parser.add_argument("--only", choices=QUESTIONS, help="answer only this question")
    parser.add_argument(
        "--eager", action="store_true", help="do not compile, which takes minutes for each engine"
    )
    parser.add_argument("--engine", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        dtype, model = arguments.engine
        run_engine(dtype, model, arguments.eager)
        return
    cores = len(os.sched_getaffinity(0))
    print(f"cores: {cores}, runs: {arguments.runs} of each side, in turn")
    for question in (arguments.only,) if arguments.only else QUESTIONS:
        compare(question, arguments.runs, cores, arguments.eager)


if __name__ == "__main__":
    main()
