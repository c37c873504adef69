"""What is refused before a request is sent."""

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
    """The checks alone, of an engine that was never started, with a reasoning parser."""
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
def test_each_is_named(
    engine: OpenVINOEngine, prompt: dict[str, Any], how: dict[str, Any], named: str
) -> None:
    with pytest.raises(VLLMValidationError, match=named):
        engine.generate(prompt, SamplingParams(), "a", **how)


@pytest.mark.parametrize("ended", [None, False])
def test_structured_output_while_the_model_reasons(
    engine: OpenVINOEngine, ended: bool | None
) -> None:
    params = SamplingParams(structured_outputs=StructuredOutputsParams(regex="a"))
    with pytest.raises(VLLMValidationError, match="after reasoning"):
        engine.generate(TEXT, params, "a", reasoning_ended=ended)
