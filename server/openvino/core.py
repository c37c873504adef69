"""The engine core that vLLM's ``AsyncLLM`` talks to: the pipeline's process, from outside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from vllm.config import VllmConfig
from vllm.logger import init_logger
from vllm.tasks import SupportedTask
from vllm.v1.engine import (
    EngineCoreEvent,
    EngineCoreEventType,
    EngineCoreOutput,
    EngineCoreOutputs,
    EngineCoreRequest,
    FinishReason,
)
from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.stats import PrefillStats, SchedulerStats
from vllm.v1.outputs import LogprobsLists

from entrypoint.shared.handover import Phase, report_phase
from server.openvino.messages import (
    LENGTH,
    Cancel,
    Down,
    Failed,
    Framed,
    Generate,
    Load,
    Loaded,
    Output,
    Step,
    frame,
    read_up,
)
from server.openvino.sampling import pipeline_sampling
from server.openvino.settings import PipelineSettings

logger = init_logger("vllm.openvino")

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "error": FinishReason.ERROR,
}
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""vLLM's types in OpenVINO's words."""

ELEMENT_BYTES = {"u8": 1, "f32": 4}
"""Of one cached number; two where the type is not here."""

END_SECONDS = 2.0
"""What the process gets to end by itself once its socket is closed."""
DRAIN_CHECK_SECONDS = 0.05


def load_message(config: VllmConfig, settings: PipelineSettings, dtype: str) -> Load:
    """Return what the pipeline's process is to load.

    Args:
        config: vLLM's.
        settings: What the entrypoint has decided.
        dtype: What ``--dtype`` says.
    """
    properties = {}
    if settings.cache_precision is not None:
        properties["KV_CACHE_PRECISION"] = settings.cache_precision
    if dtype in PRECISIONS:
        properties["INFERENCE_PRECISION_HINT"] = PRECISIONS[dtype]
    elif settings.cache_precision == "f32":
        # a processor that has bfloat16 would compute in that, and then refuses such a cache
        properties["INFERENCE_PRECISION_HINT"] = "f32"
    scheduler = config.scheduler_config
    return Load(
        model=str(settings.model),
        device=settings.device,
        cache_gib=settings.cache_gib,
        max_num_seqs=scheduler.max_num_seqs,
        max_num_batched_tokens=scheduler.max_num_batched_tokens,
        prefix_caching=bool(config.cache_config.enable_prefix_caching),
        chunked_prefill=bool(scheduler.enable_chunked_prefill),
        properties=properties,
    )


def check_cache(config: VllmConfig, load: Load) -> None:
    """Check that the key-value cache holds one sequence of full length.

    A longer one would never be scheduled.

    Raises:
        RuntimeError: It does not.
    """
    model = config.model_config
    numbers = (
        2
        * model.get_num_layers(config.parallel_config)
        * model.get_num_kv_heads(config.parallel_config)
        * model.get_head_size()
    )
    precision = load.properties.get("KV_CACHE_PRECISION", "")
    tokens = (load.cache_gib << 30) // (numbers * ELEMENT_BYTES.get(precision, 2))
    if load.cache_gib > 0 and tokens < model.max_model_len:
        raise RuntimeError(
            f"A key-value cache of {load.cache_gib} GiB (VLLM_OPENVINO_KVCACHE_SPACE) holds "
            f"{tokens} tokens, and the model's context length is {model.max_model_len}. Raise the "
            f"one, or set ARG=--max-model-len {tokens}."
        )


@dataclass(slots=True)
class Sent:
    """A sequence that the pipeline's process works on.

    Attributes:
        prompt_tokens: Length of its prompt.
        ends_silently: Its end-of-sequence token, which is no stop reason.
        top: Whether its likeliest token is wanted too, which is the one taken.
        queued: When it was sent.
        begun: Whether something of it has come back.
    """

    prompt_tokens: int
    ends_silently: int | None
    top: bool
    queued: float
    begun: bool = False


@dataclass(slots=True)
class _Resources:
    """What ``AsyncLLM`` looks at."""

    engine_dead: bool = False


class PipelineCore(EngineCoreClient):  # type: ignore[misc]  # vLLM ships no types
    """Starts the pipeline's process, hands it requests and returns its outputs."""

    engine_ranks_managed = (0,)

    def __init__(self, config: VllmConfig, load: Load):
        """Start the process and wait until the model is loaded.

        Raises:
            RuntimeError: It cannot be loaded; the message is OpenVINO's.
        """
        self.resources = _Resources()
        self._max_model_len = config.model_config.max_model_len
        self._spaced = not config.structured_outputs_config.disable_any_whitespace
        self._sequences: dict[str, Sent] = {}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._closing = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.openvino.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        report_phase(Phase.WEIGHTS)
        logger.info("OpenVINO: loading %s on %s", load.model, load.device)
        started = time.monotonic()
        try:
            self._load(load)
        except BaseException:
            self.shutdown(timeout=0)
            raise
        logger.info("OpenVINO: loaded in %.1f s", time.monotonic() - started)

    def _load(self, load: Load) -> None:
        framed = Framed(self._socket)
        try:
            framed.send(load)
            body = framed.receive(wait=True)
            assert body is not None
        except (EOFError, OSError):
            code = self._process.wait()
            raise RuntimeError(
                f"The OpenVINO process ended with exit code {code} while it loaded {load.model}."
            ) from None
        message = read_up(body)
        if isinstance(message, Failed):
            raise RuntimeError(f"OpenVINO cannot load {load.model}: {message.error}")
        assert isinstance(message, Loaded)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        return self._reader, self._writer

    async def _send(self, message: Down) -> None:
        if self.resources.engine_dead:
            raise EngineDeadError
        _, writer = await self._connect()
        writer.write(frame(message))

    async def get_supported_tasks_async(self) -> tuple[SupportedTask, ...]:
        """Text, and nothing else."""
        return ("generate",)

    async def add_request_async(self, request: EngineCoreRequest) -> None:
        """Hand over one sequence; what it asks for has been checked."""
        params = request.sampling_params
        prompt = request.prompt_token_ids
        assert params is not None
        assert prompt is not None
        sampling = pipeline_sampling(params, len(prompt), self._max_model_len, self._spaced)
        self._sequences[request.request_id] = Sent(
            len(prompt), params.eos_token_id, params.logprobs == 1, time.monotonic()
        )
        await self._send(Generate(request.request_id, prompt, sampling))

    async def abort_requests_async(self, request_ids: list[str]) -> None:
        """Have the pipeline forget sequences, and free what they hold."""
        known = [each for each in request_ids if self._sequences.pop(each, None) is not None]
        if known and not self.resources.engine_dead:
            await self._send(Cancel(known))

    async def get_output_async(self) -> EngineCoreOutputs:
        """Return what the next step has computed.

        Raises:
            EngineDeadError: The pipeline has failed, or its process has ended.
        """
        reader, writer = await self._connect()
        try:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            message = read_up(await reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            if not self.resources.engine_dead:
                logger.error("The OpenVINO process has ended.")
            self.resources.engine_dead = True
            writer.close()
            raise EngineDeadError(suppress_context=True) from None
        if isinstance(message, Failed):
            logger.error("The OpenVINO pipeline has failed: %s", message.error)
            self.resources.engine_dead = True
            raise EngineDeadError
        assert isinstance(message, Step)
        return EngineCoreOutputs(
            outputs=list(self._translated(message.outputs)),
            scheduler_stats=SchedulerStats(
                num_running_reqs=message.running,
                num_waiting_reqs=message.waiting,
                kv_cache_usage=message.cache_usage,
            ),
        )

    def _translated(self, outputs: Iterable[Output]) -> Iterable[EngineCoreOutput]:
        for output in outputs:
            sequence = self._sequences.get(output.request)
            if sequence is None:
                continue  # it was given up meanwhile
            if output.error is not None:
                logger.error("Request %s: OpenVINO: %s", output.request, output.error)
            if output.finished_by is not None:
                del self._sequences[output.request]
            yield engine_output(output, sequence)
            sequence.begun = True

    async def reset_mm_cache_async(self) -> None:
        """There is none."""

    async def is_sleeping_async(self) -> bool:
        """It never sleeps."""
        return False

    async def is_scheduler_paused_async(self) -> bool:
        """It never pauses."""
        return False

    def shutdown(self, timeout: float | None = None) -> None:
        """Let the running sequences finish, at most ``timeout`` seconds, and end the process.

        Safe to call from any thread, and twice.
        """
        deadline = time.monotonic() + (timeout or 0)
        while self._sequences and not self.resources.engine_dead and time.monotonic() < deadline:
            time.sleep(DRAIN_CHECK_SECONDS)
        with self._closing:
            self.resources.engine_dead = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._writer is None:  # else the event loop closes it, at its end
                self._socket.close()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def engine_output(output: Output, sequence: Sent) -> EngineCoreOutput:
    """Return a sequence's output in vLLM's terms."""
    translated = EngineCoreOutput(request_id=output.request, new_token_ids=output.tokens)
    if output.finished_by is not None:
        translated.finish_reason = FINISH_REASONS[output.finished_by]
        last = output.tokens[-1] if output.tokens else None
        if output.finished_by == "stop" and last != sequence.ends_silently:
            translated.stop_reason = last
    if output.logprobs:
        columns = 2 if sequence.top else 1
        translated.new_logprobs = LogprobsLists(
            logprob_token_ids=np.repeat(np.array(output.tokens)[:, None], columns, axis=1),
            logprobs=np.repeat(np.array(output.logprobs)[:, None], columns, axis=1),
            sampled_token_ranks=np.ones(len(output.tokens), dtype=np.int64),
        )
    if not sequence.begun:
        translated.events = [
            EngineCoreEvent(EngineCoreEventType.QUEUED, sequence.queued),
            EngineCoreEvent(EngineCoreEventType.SCHEDULED, output.started or sequence.queued),
        ]
        translated.prefill_stats = PrefillStats(
            num_prompt_tokens=sequence.prompt_tokens, num_computed_tokens=sequence.prompt_tokens
        )
    return translated


@dataclass(frozen=True, slots=True)
class PipelineCores:
    """Stands where ``AsyncLLM`` looks for the class that makes its engine core.

    Attributes:
        settings: What the entrypoint has decided.
        dtype: What ``--dtype`` says.
    """

    settings: PipelineSettings
    dtype: str

    def make_async_mp_client(
        self, vllm_config: VllmConfig, *_args: Any, **_kwargs: Any
    ) -> PipelineCore:
        """Return the core, once the model is loaded."""
        load = load_message(vllm_config, self.settings, self.dtype)
        check_cache(vllm_config, load)
        return PipelineCore(vllm_config, load)
