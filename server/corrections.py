"""Corrects faults of vLLM 0.32's serving classes that clients run into.

- ``/v1/messages`` fails on a tool call that ``max_tokens`` or a stop string has cut short.
- A stream of ``/v1/messages`` reports an error of the engine as an error of the stream's parser.
- ``/v1/responses`` fails on a history with a refusal.
- A grammar that xgrammar refuses is accepted, because another backend could compile it. But the
  engine uses one backend for all requests, and fails (500) if that is xgrammar.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from functools import wraps
from typing import Any

from openai.types.responses import ResponseOutputMessage, ResponseOutputText
from pydantic_core import from_json
from vllm.config import StructuredOutputsConfig
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
from vllm.entrypoints.openai.responses import utils
from vllm.sampling_params import SamplingParams

ERROR_CHUNK = 'data: {"error"'
"""Start of the event by which vLLM's chat completions report an error in a stream."""


def apply() -> None:
    """Correct the classes in this process. Further calls have no effect."""
    messages = AnthropicServingMessages
    _correct(messages, "messages_full_converter", _with_complete_arguments)
    _correct(messages, "message_stream_converter", _with_errors_passed_on)
    _correct(SamplingParams, "_validate_structured_outputs", _with_the_engines_backend)
    _correct(utils, "_construct_message_from_response_item", _with_text_only)


def _correct(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, "__wrapped__"):
        setattr(owner, name, wraps(original)(wrap(original)))


def read_arguments(arguments: str) -> tuple[dict[str, Any], bool]:
    """Return a tool call's arguments, and whether they were cut short.

    Of arguments that were cut short, those remain that have arrived completely. Anthropic's clients
    read the unfinished ``input`` of a stream in the same way.
    """
    try:
        found, cut_short = json.loads(arguments), False
    except ValueError:
        cut_short = True
        try:
            found = from_json(arguments, allow_partial=True)
        except ValueError:
            found = None
    return (found if isinstance(found, dict) else {}), cut_short


def _with_complete_arguments(convert: Callable[..., Any]) -> Callable[..., Any]:
    def converted(self: Any, response: Any) -> Any:
        choice = response.choices[0]
        any_cut_short = False
        for call in choice.message.tool_calls:
            arguments, cut_short = read_arguments(call.function.arguments)
            call.function.arguments = json.dumps(arguments)
            any_cut_short = any_cut_short or cut_short
        message = convert(self, response)
        if any_cut_short and message.stop_reason == "tool_use":
            # the client must not run the call; vLLM's own rule for streams
            stopped = isinstance(choice.stop_reason, str)
            message.stop_reason = "stop_sequence" if stopped else "max_tokens"
            message.stop_sequence = choice.stop_reason if stopped else None
        return message

    return converted


def _with_errors_passed_on(convert: Callable[..., Any]) -> Callable[..., Any]:
    async def converted(self: Any, chunks: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        failed: list[str] = []

        async def until_error() -> AsyncGenerator[str, None]:
            async for chunk in chunks:
                if chunk.startswith(ERROR_CHUNK):
                    failed.append(chunk)
                    return
                yield chunk

        async for event in convert(self, until_error()):
            yield event
        for chunk in failed:
            yield f"event: error\n{chunk}"

    return converted


def _with_text_only(construct: Callable[..., Any]) -> Callable[..., Any]:
    def constructed(item: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(item, ResponseOutputMessage):
            text = "".join(
                part.text if isinstance(part, ResponseOutputText) else part.refusal
                for part in item.content
            )
            only = ResponseOutputText(type="output_text", text=text, annotations=[])
            item = item.model_copy(update={"content": [only]})
        return construct(item, *args, **kwargs)

    return constructed


def _with_the_engines_backend(validate: Callable[..., None]) -> Callable[..., None]:
    used: list[str] = []  # the backend of the first request, which the engine keeps

    def validated(self: Any, model_config: Any, config: Any, tokenizer: Any) -> None:
        validate(self, model_config, config, tokenizer)
        outputs = self.structured_outputs
        if config is None or outputs is None or not outputs._backend_was_auto:
            return
        if not used:
            used.append(outputs._backend)
        elif outputs._backend != used[0]:
            outputs._backend = None
            validate(self, model_config, StructuredOutputsConfig(backend=used[0]), tokenizer)
            outputs._backend_was_auto = True

    return validated
