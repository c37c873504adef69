"""The engine core for vLLM's ``AsyncLLM``: controls the pipeline's process."""

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

from vllm.config import VllmConfig
from vllm.logger import init_logger
from vllm.tasks import SupportedTask
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest
from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.stats import SchedulerStats

from entrypoint.shared.handover import Phase, report_phase
from server.openvino.loading import check_cache, load_message
from server.openvino.messages import (
    LENGTH,
    Cancel,
    Command,
    Failed,
    FramedSocket,
    Generate,
    Load,
    Loaded,
    Output,
    Step,
    decode_event,
    frame,
)
from server.openvino.outputs import SentSequence, engine_output
from server.openvino.sampling import pipeline_sampling
from server.openvino.settings import PipelineSettings

logger = init_logger("vllm.openvino")

END_SECONDS = 2.0
"""How long the process gets to end once its socket is closed."""
DRAIN_CHECK_SECONDS = 0.05


@dataclass(slots=True)
class _Resources:
    """The state that ``AsyncLLM`` checks."""

    engine_dead: bool = False


class PipelineCore(EngineCoreClient):  # type: ignore[misc]  # vLLM ships no types
    """Starts the pipeline's process, sends it requests, and returns its outputs."""

    engine_ranks_managed = (0,)

    def __init__(self, config: VllmConfig, load: Load):
        """Start the process and wait until it has loaded the model.

        Raises:
            RuntimeError: The model cannot be loaded; contains OpenVINO's message.
        """
        self.resources = _Resources()
        self._max_model_len = config.model_config.max_model_len
        self._any_whitespace = not config.structured_outputs_config.disable_any_whitespace
        self._sequences: dict[str, SentSequence] = {}
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
        framed = FramedSocket(self._socket)
        try:
            framed.send(load)
            body = framed.receive(wait=True)
            assert body is not None
        except (EOFError, OSError):
            code = self._process.wait()
            raise RuntimeError(
                f"The OpenVINO process ended with exit code {code} while loading {load.model}."
            ) from None
        message = decode_event(body)
        if isinstance(message, Failed):
            raise RuntimeError(f"OpenVINO cannot load {load.model}: {message.error}")
        assert isinstance(message, Loaded)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        return self._reader, self._writer

    async def _send(self, message: Command) -> None:
        if self.resources.engine_dead:
            raise EngineDeadError
        _, writer = await self._connect()
        writer.write(frame(message))

    async def get_supported_tasks_async(self) -> tuple[SupportedTask, ...]:
        """Return the only supported task."""
        return ("generate",)

    async def add_request_async(self, request: EngineCoreRequest) -> None:
        """Send one sequence. Its parameters have been checked."""
        params = request.sampling_params
        prompt = request.prompt_token_ids
        assert params is not None
        assert prompt is not None
        sampling = pipeline_sampling(params, len(prompt), self._max_model_len, self._any_whitespace)
        self._sequences[request.request_id] = SentSequence(
            len(prompt), params.eos_token_id, params.logprobs == 1, time.monotonic()
        )
        await self._send(Generate(request.request_id, prompt, sampling))

    async def abort_requests_async(self, request_ids: list[str]) -> None:
        """Cancel sequences."""
        known = [each for each in request_ids if self._sequences.pop(each, None) is not None]
        if known and not self.resources.engine_dead:
            await self._send(Cancel(known))

    async def get_output_async(self) -> EngineCoreOutputs:
        """Return the outputs of the next step.

        Raises:
            EngineDeadError: The pipeline has failed or its process has ended.
        """
        reader, writer = await self._connect()
        try:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            message = decode_event(await reader.readexactly(length))
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
            outputs=list(self._translate(message.outputs)),
            scheduler_stats=SchedulerStats(
                num_running_reqs=message.running,
                num_waiting_reqs=message.waiting,
                kv_cache_usage=message.cache_usage,
            ),
        )

    def _translate(self, outputs: Iterable[Output]) -> Iterable[EngineCoreOutput]:
        for output in outputs:
            sequence = self._sequences.get(output.request)
            if sequence is None:
                continue  # it was cancelled meanwhile
            if output.error is not None:
                logger.error("Request %s: OpenVINO: %s", output.request, output.error)
            if output.finished_by is not None:
                del self._sequences[output.request]
            yield engine_output(output, sequence)
            sequence.started = True

    async def reset_mm_cache_async(self) -> None:
        """Do nothing: there is no such cache."""

    async def is_sleeping_async(self) -> bool:
        """Return False: it never sleeps."""
        return False

    async def is_scheduler_paused_async(self) -> bool:
        """Return False: it never pauses."""
        return False

    def shutdown(self, timeout: float | None = None) -> None:
        """Wait up to ``timeout`` seconds until all sequences have finished, then end the process.

        Safe to call from any thread, and more than once.
        """
        deadline = time.monotonic() + (timeout or 0)
        while self._sequences and not self.resources.engine_dead and time.monotonic() < deadline:
            time.sleep(DRAIN_CHECK_SECONDS)
        with self._closing:
            self.resources.engine_dead = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._writer is None:  # otherwise the event loop closes it
                self._socket.close()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@dataclass(frozen=True, slots=True)
class PipelineCores:
    """Makes the engine core, in place of vLLM's ``EngineCoreClient``.

    Attributes:
        settings: The pipeline's settings.
        dtype: The value of ``--dtype``.
    """

    settings: PipelineSettings
    dtype: str

    def make_async_mp_client(
        self, vllm_config: VllmConfig, *_args: Any, **_kwargs: Any
    ) -> PipelineCore:
        """Return the engine core, once it has loaded the model."""
        load = load_message(vllm_config, self.settings, self.dtype)
        check_cache(vllm_config, load)
        return PipelineCore(vllm_config, load)
