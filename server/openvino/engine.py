"""vLLM's engine client for OpenVINO's pipeline."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from vllm.exceptions import VLLMValidationError
from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import async_llm

from server.openvino.core import PipelineCores
from server.openvino.grammar import grammar_of
from server.openvino.sampling import check
from server.openvino.settings import PipelineSettings


class OpenVINOEngine(async_llm.AsyncLLM):  # type: ignore[misc]  # vLLM ships no types
    """An ``AsyncLLM`` that refuses requests that the pipeline does not support."""

    def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str, **how: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """Check the request immediately, then generate.

        At the first output it would be too late: a stream's status has already been sent.

        Raises:
            VLLMValidationError: The pipeline does not support the request.
        """
        check(sampling_params)
        self._check_prompt(prompt, **how)
        self._check_structured_output(sampling_params, how.get("reasoning_ended"))
        outputs: AsyncGenerator[RequestOutput, None]
        outputs = super().generate(prompt, sampling_params, request_id, **how)
        return outputs

    @staticmethod
    def _check_prompt(prompt: Any, **how: Any) -> None:
        if isinstance(prompt, dict) and prompt.get("type", "token") != "token":
            raise VLLMValidationError(
                f"OpenVINO: input of type {prompt['type']} is not supported; only text is.",
                parameter="messages",
            )
        if how.get("lora_request") is not None:
            raise VLLMValidationError("OpenVINO: LoRA adapters are not supported.")
        if how.get("priority"):
            raise VLLMValidationError("OpenVINO: priority is not supported.", parameter="priority")

    def _check_structured_output(
        self, params: SamplingParams, reasoning_ended: bool | None
    ) -> None:
        """Refuse structured output after reasoning, and output that has no grammar."""
        if params.structured_outputs is None:
            return
        config = self.vllm_config.structured_outputs_config
        if config.reasoning_parser and not config.enable_in_reasoning and not reasoning_ended:
            raise VLLMValidationError(
                "OpenVINO: structured output after reasoning is not supported. Turn reasoning off "
                "for this request (chat_template_kwargs).",
                parameter="structured_outputs",
            )
        params.verify(
            self.model_config,
            self.vllm_config.speculative_config,
            config,
            self.renderer.tokenizer,
        )
        grammar_of(params.structured_outputs)


def take_over(settings: PipelineSettings, dtype: str) -> None:
    """Make vLLM's server use the pipeline instead of vLLM's engine core.

    Args:
        settings: The pipeline's settings.
        dtype: The value of ``--dtype``.
    """
    async_llm.EngineCoreClient = PipelineCores(settings, dtype)
    async_llm.AsyncLLM = OpenVINOEngine
