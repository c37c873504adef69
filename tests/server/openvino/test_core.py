"""The engine core over the real pipeline's process, and its outputs in vLLM's terms."""

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
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreEventType, EngineCoreRequest, FinishReason
from vllm.v1.engine.exceptions import EngineDeadError

from server.openvino.core import (
    PipelineCore,
    Sent,
    check_cache,
    engine_output,
    load_message,
)
from server.openvino.messages import Load, Output
from server.openvino.settings import PipelineSettings
from tests.support.event_loop import in_event_loop

END = 0
PROMPT = [5, 6, 7]


@pytest.fixture(scope="module")
def config(snapshot: Path) -> VllmConfig:
    arguments = AsyncEngineArgs(
        model=str(snapshot),
        max_num_seqs=8,
        max_num_batched_tokens=2048,
        enable_prefix_caching=False,
    )
    return arguments.create_engine_config()


@pytest.fixture
def load(config: VllmConfig, demo: Path) -> Load:
    return load_message(config, PipelineSettings(demo, "CPU", 1, None), "auto")


@pytest.fixture
def core(config: VllmConfig, load: Load) -> Iterator[PipelineCore]:
    started = PipelineCore(config, load)
    yield started
    started.shutdown(timeout=0)


def request(name: str, **how: Any) -> EngineCoreRequest:
    params = SamplingParams(temperature=0, **how)
    params.update_from_generation_config({}, END)
    return EngineCoreRequest(name, PROMPT, None, params, None, time.time(), None, None, None)


async def whole(core: PipelineCore, *names: str) -> dict[str, list[int]]:
    """Return the tokens of requests that run, once all have finished."""
    tokens: dict[str, list[int]] = {name: [] for name in names}
    open_ = set(names)
    while open_:
        for output in (await core.get_output_async()).outputs:
            tokens[output.request_id] += output.new_token_ids
            if output.finished:
                open_.discard(output.request_id)
    return tokens


async def end(core: PipelineCore) -> None:
    """Shut down, and read the end as vLLM's output handler does."""
    await asyncio.get_running_loop().run_in_executor(None, core.shutdown, 0)
    with pytest.raises(EngineDeadError):
        await core.get_output_async()


class TestLoadMessage:
    def test_the_scheduler(self, load: Load) -> None:
        assert (load.max_num_seqs, load.max_num_batched_tokens) == (8, 2048)
        assert not load.prefix_caching
        assert load.properties == {}

    @pytest.mark.parametrize(("dtype", "hint"), [("float32", "f32"), ("bfloat16", "bf16")])
    def test_types(self, config: VllmConfig, dtype: str, hint: str) -> None:
        made = load_message(config, PipelineSettings(Path("/m"), "GPU.1", 4, "u8"), dtype)
        assert (made.model, made.device, made.cache_gib) == ("/m", "GPU.1", 4)
        assert made.properties == {"INFERENCE_PRECISION_HINT": hint, "KV_CACHE_PRECISION": "u8"}

    def test_a_cache_of_f32_is_computed_in_f32(self, config: VllmConfig) -> None:
        made = load_message(config, PipelineSettings(Path("/m"), "CPU", 4, "f32"), "auto")
        assert made.properties == {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}

    def test_a_cache_without_room_for_one_sequence(
        self, config: VllmConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = load_message(config, PipelineSettings(Path("/m"), "CPU", 1, "f32"), "auto")
        check_cache(config, small)
        monkeypatch.setattr(config.model_config, "max_model_len", 10**6)
        with pytest.raises(RuntimeError, match="--max-model-len 349525"):
            check_cache(config, small)


class TestRunning:
    def test_requests_come_to_their_ends(self, core: PipelineCore) -> None:
        async def run() -> dict[str, list[int]]:
            await core.add_request_async(request("a", max_tokens=4, ignore_eos=True))
            await core.add_request_async(request("b", max_tokens=9, ignore_eos=True))
            tokens = await whole(core, "a", "b")
            await end(core)
            return tokens

        tokens = asyncio.run(run())
        assert [len(tokens["a"]), len(tokens["b"])] == [4, 9]
        assert tokens["b"][:4] == tokens["a"]

    @in_event_loop
    async def test_an_aborted_request_says_nothing_more(self, core: PipelineCore) -> None:
        await core.add_request_async(request("a", max_tokens=1500, ignore_eos=True))
        await core.get_output_async()
        await core.abort_requests_async(["a"])
        await core.add_request_async(request("b", max_tokens=3, ignore_eos=True))
        assert len((await whole(core, "b"))["b"]) == 3  # "a" would be a KeyError there
        await end(core)

    def test_shutdown_lets_what_runs_finish(self, core: PipelineCore) -> None:
        async def run() -> list[int]:
            await core.add_request_async(request("a", max_tokens=300, ignore_eos=True))
            ended = asyncio.get_running_loop().run_in_executor(None, core.shutdown, 60)
            tokens = (await whole(core, "a"))["a"]
            await ended
            with pytest.raises(EngineDeadError):
                await core.add_request_async(request("b"))
            await end(core)
            return tokens

        assert len(asyncio.run(run())) == 300

    @in_event_loop
    async def test_the_process_is_killed(self, core: PipelineCore) -> None:
        await core.add_request_async(request("a", max_tokens=1500, ignore_eos=True))
        await core.get_output_async()
        os.kill(core._process.pid, signal.SIGKILL)
        with pytest.raises(EngineDeadError):
            await whole(core, "a")
        assert core.resources.engine_dead

    def test_no_model(self, config: VllmConfig, tmp_path: Path) -> None:
        load = load_message(config, PipelineSettings(tmp_path, "CPU", 1, None), "auto")
        with pytest.raises(RuntimeError, match=f"cannot load {tmp_path}"):
            PipelineCore(config, load)


class TestOutput:
    @staticmethod
    def sent(**how: Any) -> Sent:
        return Sent(prompt_tokens=3, ends_silently=END, top=False, queued=1.0, **how)

    def test_the_end_token_is_no_stop_reason(self) -> None:
        made = engine_output(Output("a", [4, END], finished_by="stop"), self.sent())
        assert (made.finish_reason, made.stop_reason) == (FinishReason.STOP, None)

    def test_a_stop_token_is(self) -> None:
        made = engine_output(Output("a", [4, 9], finished_by="stop"), self.sent())
        assert (made.finish_reason, made.stop_reason) == (FinishReason.STOP, 9)

    def test_the_first_tells_what_was_computed_and_when(self) -> None:
        made = engine_output(Output("a", [4], started=2.0), self.sent())
        assert made.prefill_stats is not None
        assert made.prefill_stats.num_prompt_tokens == 3
        assert [(event.type, event.timestamp) for event in made.events or ()] == [
            (EngineCoreEventType.QUEUED, 1.0),
            (EngineCoreEventType.SCHEDULED, 2.0),
        ]
        later = engine_output(Output("a", [4]), self.sent(begun=True))
        assert (later.prefill_stats, later.events) == (None, None)

    @pytest.mark.parametrize(("top", "columns"), [(False, 1), (True, 2)])
    def test_logprobs(self, top: bool, columns: int) -> None:
        sent = self.sent()
        sent.top = top
        made = engine_output(Output("a", [4, 5], [-0.5, -1.5]), sent)
        assert made.new_logprobs is not None
        assert made.new_logprobs.logprob_token_ids.tolist() == [[4] * columns, [5] * columns]
        assert made.new_logprobs.logprobs.tolist() == [[-0.5] * columns, [-1.5] * columns]
