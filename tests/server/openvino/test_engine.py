"""Requests that are refused before they are sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from server.openvino.engine import OpenVINOEngine

TEXT = {"type": "token", "prompt_token_ids": [1]}


@pytest.fixture
def engine() -> OpenVINOEngine:
    """An engine with a reasoning parser that was never started: only its checks work."""
    engine = OpenVINOEngine.__new__(OpenVINOEngine)
    engine.vllm_config = SimpleNamespace(
        structured_outputs_config=SimpleNamespace(
            reasoning_parser="qwen3", enable_in_reasoning=False
        )
    )
    engine.shutdown = lambda timeout=None: None
    return engine


@pytest.mark.parametrize(
    ("prompt", "how", "named"),
    [
        ({"type": "multimodal"}, {}, "multimodal"),
        ({"type": "embeds"}, {}, "embeds"),
        (TEXT, {"lora_request": object()}, "LoRA"),
        (TEXT, {"priority": 1}, "priority"),
    ],
)
def test_an_unsupported_request_is_refused_by_name(
    engine: OpenVINOEngine, prompt: dict[str, Any], how: dict[str, Any], named: str
) -> None:
    with pytest.raises(VLLMValidationError, match=named):
        engine.generate(prompt, SamplingParams(), "a", **how)


@pytest.mark.parametrize("ended", [None, False])
def test_structured_output_after_reasoning_is_refused(
    engine: OpenVINOEngine, ended: bool | None
) -> None:
    params = SamplingParams(structured_outputs=StructuredOutputsParams(regex="a"))
    with pytest.raises(VLLMValidationError, match="after reasoning"):
        engine.generate(TEXT, params, "a", reasoning_ended=ended)
