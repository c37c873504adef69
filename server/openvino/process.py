"""The pipeline's process: runs OpenVINO without vLLM.

It is a separate process because a step of the pipeline holds Python's global lock from start to
end: in the same process, the server could not answer while the model computes.

Its only argument is the number of an inherited socket. On it, the process receives a
:class:`Load`, then :class:`Generate` and :class:`Cancel`; it sends :class:`Loaded`, then a
:class:`Step` after each step. It ends when the socket is closed.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Mapping

import numpy as np
import openvino
import openvino_genai as genai

from server.openvino.messages import (
    Cancel,
    Failed,
    FinishedBy,
    FramedSocket,
    Generate,
    Load,
    Loaded,
    Output,
    Sampling,
    Step,
    decode_command,
)

WARM_UP_TOKENS = 2
"""Tokens to generate before the model counts as loaded: one in the prompt's step, one after."""

FINISHED_BY: Mapping[genai.GenerationFinishReason, FinishedBy] = {
    genai.GenerationFinishReason.STOP: "stop",
    genai.GenerationFinishReason.LENGTH: "length",
}
NO_ROOM = "the KV cache has no room for this sequence"


def scheduler_config(load: Load) -> genai.SchedulerConfig:
    """Return the pipeline's scheduler settings."""
    config = genai.SchedulerConfig()
    config.cache_size = load.cache_gib
    config.max_num_seqs = load.max_num_seqs
    config.max_num_batched_tokens = load.max_num_batched_tokens
    config.enable_prefix_caching = load.prefix_caching
    config.dynamic_split_fuse = load.chunked_prefill
    return config


def generation_config(sampling: Sampling) -> genai.GenerationConfig:
    """Return the pipeline's settings for one sequence.

    Without end tokens, the pipeline would use the model's own from its ``generation_config.json``;
    ``ignore_eos`` prevents that.
    """
    config = genai.GenerationConfig()
    config.max_new_tokens = sampling.max_tokens
    config.min_new_tokens = sampling.min_tokens
    config.ignore_eos = not sampling.ends
    ends = sampling.ends or sampling.banned_early
    if ends:
        # the pipeline stops at all of them, whichever is the end token
        config.eos_token_id = ends[0]
        config.stop_token_ids = set(ends)
    config.logprobs = int(sampling.logprobs)
    config.repetition_penalty = sampling.repetition_penalty
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    if sampling.temperature > 0:
        config.do_sample = True
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        config.min_p = sampling.min_p
        if sampling.top_k > 0:
            config.top_k = sampling.top_k
        config.rng_seed = sampling.seed
    if sampling.grammar is not None:
        config.structured_output_config = genai.StructuredOutputConfig(grammar=sampling.grammar)
    return config


class Running:
    """One sequence in the pipeline."""

    def __init__(self, generate: Generate, handle: genai.GenerationHandle):
        self.request = generate.request
        self._wants_logprobs = generate.sampling.logprobs
        self._handle = handle
        self._started = time.monotonic()

    def cancel(self) -> None:
        """Remove it in the next step."""
        self._handle.cancel()

    def output(self) -> Output | None:
        """Return the new output, None if there is none."""
        tokens: list[int] = []
        logprobs: list[float] = []
        finished_by: FinishedBy | None = None
        while self._handle.can_read():
            for generated in self._handle.read().values():
                tokens += generated.generated_ids
                if self._wants_logprobs:
                    logprobs += generated.generated_log_probs
                finished_by = FINISHED_BY.get(generated.finish_reason, finished_by)
        error = None
        if self._handle.get_status() == genai.GenerationStatus.IGNORED:
            finished_by, error = "error", NO_ROOM
        if not tokens and finished_by is None:
            return None
        return Output(self.request, tokens, logprobs, finished_by, error, self._started)


class Loop:
    """Runs the pipeline's steps, and executes the server's commands between them."""

    def __init__(self, pipeline: genai.ContinuousBatchingPipeline, connection: FramedSocket):
        self._pipeline = pipeline
        self._connection = connection
        self._running: dict[str, Running] = {}
        self._numbers = itertools.count(1)

    def run(self) -> None:
        """Run until the server closes the socket.

        Raises:
            EOFError: The server has closed the socket.
        """
        while True:
            self._execute_commands()
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
                self._send_step()

    def _execute_commands(self) -> None:
        """Execute all commands that have arrived; wait for one if no sequence runs."""
        while True:
            wait = not self._pipeline.has_non_finished_requests()
            body = self._connection.receive(wait=wait)
            if body is None:
                return
            message = decode_command(body)
            if isinstance(message, Generate):
                self._add(message)
            elif isinstance(message, Cancel):
                for request in message.requests:
                    running = self._running.pop(request, None)
                    if running is not None:
                        running.cancel()

    def _add(self, generate: Generate) -> None:
        try:
            handle = self._pipeline.add_request(
                next(self._numbers),
                openvino.Tensor(np.array([generate.prompt], dtype=np.int64)),
                generation_config(generate.sampling),
            )
        except (RuntimeError, ValueError, TypeError) as error:
            failed = Output(generate.request, finished_by="error", error=str(error))
            self._connection.send(Step([failed], *self._load()))
        else:
            self._running[generate.request] = Running(generate, handle)

    def _send_step(self) -> None:
        outputs = [output for each in self._running.values() if (output := each.output())]
        for output in outputs:
            if output.finished_by is not None:
                del self._running[output.request]
        self._connection.send(Step(outputs, *self._load()))

    def _load(self) -> tuple[int, int, float]:
        """Return the numbers of running and waiting sequences, and the cache's usage."""
        if not self._running:
            return 0, 0, 0.0
        metrics = self._pipeline.get_metrics()
        running = min(metrics.scheduled_requests, len(self._running))
        return running, len(self._running) - running, metrics.cache_usage / 100


def warm_up(pipeline: genai.ContinuousBatchingPipeline) -> None:
    """Generate a few tokens, so that the first user does not wait for one-time initialization."""
    handle = pipeline.add_request(
        0,
        openvino.Tensor(np.zeros((1, 1), dtype=np.int64)),
        generation_config(Sampling(max_tokens=WARM_UP_TOKENS)),
    )
    while pipeline.has_non_finished_requests():
        pipeline.step()
    handle.cancel()


def main() -> None:
    """Load the model of the first command, and run."""
    connection = FramedSocket(socket.socket(fileno=int(sys.argv[1])))
    try:
        body = connection.receive(wait=True)
        assert body is not None
        load = decode_command(body)
        assert isinstance(load, Load)
        try:
            pipeline = genai.ContinuousBatchingPipeline(
                load.model, scheduler_config(load), load.device, load.properties
            )
            warm_up(pipeline)
            connection.send(Loaded())
            Loop(pipeline, connection).run()
        except RuntimeError as error:  # OpenVINO raises it for every error
            connection.send(Failed(str(error)))
            sys.exit(1)
    except (EOFError, ConnectionError):
        return  # the server has closed the socket


if __name__ == "__main__":
    main()
