"""The command that loads the pipeline, and the check of its cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from vllm.config import VllmConfig

from server.openvino.loading import check_cache, load_message
from server.openvino.messages import Load
from server.openvino.settings import PipelineSettings


def test_the_message_contains_the_scheduler_settings(load: Load) -> None:
    assert (load.max_num_seqs, load.max_num_batched_tokens) == (8, 2048)
    assert not load.prefix_caching
    assert load.properties == {}


@pytest.mark.parametrize(("dtype", "hint"), [("float32", "f32"), ("bfloat16", "bf16")])
def test_types_become_openvinos_properties(config: VllmConfig, dtype: str, hint: str) -> None:
    made = load_message(config, PipelineSettings(Path("/m"), "GPU.1", 4, "u8"), dtype)
    assert (made.model, made.device, made.cache_gib) == ("/m", "GPU.1", 4)
    assert made.properties == {"INFERENCE_PRECISION_HINT": hint, "KV_CACHE_PRECISION": "u8"}


def test_a_float32_cache_needs_float32_computation(config: VllmConfig) -> None:
    made = load_message(config, PipelineSettings(Path("/m"), "CPU", 4, "f32"), "auto")
    assert made.properties == {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def test_a_cache_must_hold_one_sequence_of_full_length(
    config: VllmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = load_message(config, PipelineSettings(Path("/m"), "CPU", 1, "f32"), "auto")
    check_cache(config, small)
    monkeypatch.setattr(config.model_config, "max_model_len", 10**6)
    with pytest.raises(RuntimeError, match="--max-model-len 349525"):
        check_cache(config, small)
