"""The name of the model in answers, with vLLM's own registry and check of names."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.pooling.base.serving import PoolingBaseServing
from vllm.entrypoints.serve.engine.serving import BaseServing
from vllm.lora.request import LoRARequest

from server.asked_names import answer_with_asked_names

LORA = "adapter"


def registry(*names: str) -> OpenAIServingModels:
    models = OpenAIServingModels(
        MagicMock(), [BaseModelPath(name=name, model_path="/model") for name in names]
    )
    models.lora_requests[LORA] = LoRARequest(LORA, 1, "/adapter")
    answer_with_asked_names(models)
    return models


async def answered_name(models: OpenAIServingModels, kind: Any, name: str | None) -> str:
    """Return the name in the answer to a request, found as in vLLM's routes."""
    concrete: Any = type("Concrete", (kind,), {})
    concrete.__abstractmethods__ = frozenset()  # they play no part here
    serving = concrete.__new__(concrete)
    serving.models, serving.request_logger = models, None
    request = SimpleNamespace(model=name)
    assert await serving._check_model(request) is None
    await asyncio.sleep(0)  # other requests are checked meanwhile
    answered: str = models.model_name(serving._maybe_get_adapters(request))
    return answered


@pytest.mark.parametrize("kind", [BaseServing, PoolingBaseServing])
@pytest.mark.parametrize(
    ("asked", "answered"),
    [("first", "first"), ("second", "second"), (LORA, LORA), (None, "first"), ("", "first")],
)
def test_an_answer_has_the_name_that_was_asked_for(
    kind: Any, asked: str | None, answered: str
) -> None:
    models = registry("first", "second")
    assert asyncio.run(answered_name(models, kind, asked)) == answered


def test_requests_at_the_same_time_keep_their_names() -> None:
    models = registry("first", "second")
    asked = ["second", None, "first", LORA, "second", "", "first"]

    async def all_at_once() -> list[str]:
        requests = (answered_name(models, BaseServing, name) for name in asked)
        return list(await asyncio.gather(*requests))

    expected = ["second", "first", "first", LORA, "second", "first", "first"]
    assert asyncio.run(all_at_once()) == expected


def test_an_adapter_that_vllm_adds_itself_does_not_change_the_name() -> None:
    """vLLM can apply an adapter to every request with an image."""
    models = registry("first", "second")

    async def answered() -> str:
        assert models.is_base_model("second")
        name: str = models.model_name(models.lora_requests[LORA])
        return name

    assert asyncio.run(answered()) == "second"


def test_an_unknown_name_is_still_unknown() -> None:
    models = registry("first")
    assert not models.is_base_model("other")
    assert models.model_name() == "first"
