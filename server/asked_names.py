"""Makes answers name the model as their requests do.

vLLM answers with the first served name, whichever of them the request has. It checks a request's
name once, then reads the answer's name once, both in the request's own context. The wrapped
functions keep the name in between, so a token of a stream costs nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.entrypoints.openai.models.serving import OpenAIServingModels
    from vllm.lora.request import LoRARequest

_asked_name: ContextVar[str | None] = ContextVar("asked_name", default=None)
"""The served name in the request that the running code answers, None if it has none."""


def answer_with_asked_names(models: OpenAIServingModels) -> None:
    """Make vLLM's registry of names return the name that was asked for."""
    is_served, default_name = models.is_base_model, models.model_name

    def is_base_model(model_name: str) -> bool:
        served: bool = is_served(model_name)
        if served:
            _asked_name.set(model_name)
        return served

    def model_name(lora_request: LoRARequest | None = None) -> str:
        name: str = _asked_name.get() or default_name(lora_request)
        return name

    models.is_base_model, models.model_name = is_base_model, model_name
