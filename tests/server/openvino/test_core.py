"""The engine core with the real pipeline's process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.engine.exceptions import EngineDeadError

from server.openvino.core import PipelineCore
from server.openvino.loading import load_message
from server.openvino.messages import Load
from server.openvino.settings import PipelineSettings
from tests.support.event_loop import in_event_loop

END = 0
PROMPT = [5, 6, 7]


@pytest.fixture
def core(config: VllmConfig, load: Load) -> Iterator[PipelineCore]:
    started = PipelineCore(config, load)
    yield started
    started.shutdown(timeout=0)


def request(name: str, **how: Any) -> EngineCoreRequest:
    params = SamplingParams(temperature=0, **how)
    params.update_from_generation_config({}, END)
    return EngineCoreRequest(name, PROMPT, None, params, None, time.time(), None, None, None)


async def collect(core: PipelineCore, *names: str) -> dict[str, list[int]]:
    """Return the tokens of running requests, once all have finished."""
    tokens: dict[str, list[int]] = {name: [] for name in names}
    unfinished = set(names)
    while unfinished:
        for output in (await core.get_output_async()).outputs:
            tokens[output.request_id] += output.new_token_ids
            if output.finished:
                unfinished.discard(output.request_id)
    return tokens


async def end(core: PipelineCore) -> None:
    """Shut down, and read to the end like vLLM's output handler."""
    await asyncio.get_running_loop().run_in_executor(None, core.shutdown, 0)
    with pytest.raises(EngineDeadError):
        await core.get_output_async()


@in_event_loop
async def test_concurrent_requests_get_all_their_tokens(core: PipelineCore) -> None:
    await core.add_request_async(request("a", max_tokens=4, ignore_eos=True))
    await core.add_request_async(request("b", max_tokens=9, ignore_eos=True))
    tokens = await collect(core, "a", "b")
    await end(core)
    assert [len(tokens["a"]), len(tokens["b"])] == [4, 9]
    assert tokens["b"][:4] == tokens["a"]


@in_event_loop
async def test_an_aborted_request_has_no_more_output(core: PipelineCore) -> None:
    await core.add_request_async(request("a", max_tokens=1500, ignore_eos=True))
    await core.get_output_async()
    await core.abort_requests_async(["a"])
    await core.add_request_async(request("b", max_tokens=3, ignore_eos=True))
    assert len((await collect(core, "b"))["b"]) == 3  # output of "a" would be a KeyError
    await end(core)


@in_event_loop
async def test_shutdown_waits_for_running_requests(core: PipelineCore) -> None:
    await core.add_request_async(request("a", max_tokens=300, ignore_eos=True))
    ended = asyncio.get_running_loop().run_in_executor(None, core.shutdown, 60)
    tokens = (await collect(core, "a"))["a"]
    await ended
    with pytest.raises(EngineDeadError):
        await core.add_request_async(request("b"))
    await end(core)
    assert len(tokens) == 300


@in_event_loop
async def test_a_killed_process_means_a_dead_engine(core: PipelineCore) -> None:
    await core.add_request_async(request("a", max_tokens=1500, ignore_eos=True))
    await core.get_output_async()
    os.kill(core._process.pid, signal.SIGKILL)
    with pytest.raises(EngineDeadError):
        await collect(core, "a")
    assert core.resources.engine_dead


def test_a_missing_model_is_reported_with_its_path(config: VllmConfig, tmp_path: Path) -> None:
    load = load_message(config, PipelineSettings(tmp_path, "CPU", 1, None), "auto")
    with pytest.raises(RuntimeError, match=f"cannot load {tmp_path}"):
        PipelineCore(config, load)
