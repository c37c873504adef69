"""vLLM's serving classes with our corrections, as they convert what clients send and get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.responses import ResponseOutputMessage
from transformers import AutoTokenizer
from vllm.config import StructuredOutputsConfig
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponse
from vllm.entrypoints.openai.responses.utils import construct_input_messages
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from server import corrections
from server.corrections import read_arguments
from tests.support.launch import DEMO_CACHE

ERROR = {"error": {"message": "bad grammar", "type": "BadRequestError", "param": None, "code": 400}}


@pytest.fixture(autouse=True)
def corrected() -> None:
    """As in the engine; a second call must change nothing."""
    corrections.apply()
    before = AnthropicServingMessages.messages_full_converter
    corrections.apply()
    assert AnthropicServingMessages.messages_full_converter is before


@pytest.mark.parametrize(
    ("arguments", "found", "cut_short"),
    [
        ('{"a": 1}', {"a": 1}, False),
        ("{}", {}, False),
        ('{"a": 1, "b": "unfini', {"a": 1}, True),
        ('{"a": [1, {"b": 2', {"a": [1, {"b": 2}]}, True),
        ('{"a": tr', {}, True),
        ('{"a"', {}, True),
        ("{", {}, True),
        ("", {}, True),
        ("not JSON", {}, True),
        ("true", {}, False),
        ("[1, 2", {}, True),
    ],
)
def test_arguments_are_read_as_far_as_they_are_complete(
    arguments: str, found: dict[str, Any], cut_short: bool
) -> None:
    assert read_arguments(arguments) == (found, cut_short)


def serving() -> Any:
    """Return the class without an engine: its converters use none."""
    return AnthropicServingMessages.__new__(AnthropicServingMessages)


def completion(arguments: str, finish: str, stop: str | None = None) -> ChatCompletionResponse:
    function = {"name": "save", "arguments": arguments}
    return ChatCompletionResponse.model_validate(
        {
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "stop_reason": stop,
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"id": "c", "type": "function", "function": function}],
                    },
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )


@pytest.mark.parametrize(
    ("arguments", "finish", "stop", "given", "reason", "sequence"),
    [
        ('{"a": 1}', "tool_calls", None, {"a": 1}, "tool_use", None),
        ('{"a": 1}', "stop", None, {"a": 1}, "tool_use", None),
        ('{"a": 1, "b": "unfini', "length", None, {"a": 1}, "max_tokens", None),
        ('{"a": 1, "b": "unfini', "tool_calls", None, {"a": 1}, "max_tokens", None),
        ('{"a": 1, "b": "unfini', "stop", "ni", {"a": 1}, "stop_sequence", "ni"),
        ("true", "stop", None, {}, "tool_use", None),
    ],
)
def test_a_tool_call_that_was_cut_short_is_a_valid_block_that_must_not_run(
    arguments: str, finish: str, stop: str | None, given: Any, reason: str, sequence: str | None
) -> None:
    message = serving().messages_full_converter(completion(arguments, finish, stop))
    block = message.content[-1]
    assert (block.type, block.name, block.input) == ("tool_use", "save", given)
    assert (message.stop_reason, message.stop_sequence) == (reason, sequence)


async def converted(chunks: list[str]) -> list[str]:
    async def stream() -> AsyncGenerator[str, None]:
        for chunk in chunks:
            yield chunk

    return [event async for event in serving().message_stream_converter(stream())]


def test_an_error_of_the_engine_reaches_a_stream_of_messages_as_it_is() -> None:
    chunks = [f"data: {json.dumps(ERROR)}\n\n", "data: [DONE]\n\n"]
    events = asyncio.run(converted(chunks))
    assert events == [f"event: error\ndata: {json.dumps(ERROR)}\n\n"]


def test_a_history_with_a_refusal_is_read() -> None:
    item = ResponseOutputMessage.model_validate(
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "I ", "annotations": []},
                {"type": "refusal", "refusal": "cannot."},
            ],
        }
    )
    empty = item.model_copy(update={"content": []})
    messages = construct_input_messages(request_instructions=None, request_input=[item, empty])
    assert messages == [
        {"role": "assistant", "content": "I cannot."},
        {"role": "assistant", "content": ""},
    ]


class TestBackendOfStructuredOutputs:
    """The engine compiles every grammar with the backend of its first request."""

    @pytest.fixture
    def validate(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str | None]:
        """Validate a grammar as vLLM does; return the backend that is recorded."""
        name = "_validate_structured_outputs"
        original = getattr(SamplingParams, name).__wrapped__
        monkeypatch.setattr(SamplingParams, name, original)
        corrections.apply()  # a process that has had no request yet
        tokenizer = AutoTokenizer.from_pretrained(next(DEMO_CACHE.glob("models--*/snapshots/*")))
        model_config = SimpleNamespace(is_diffusion=False)

        def validated(grammar: str) -> str | None:
            outputs = StructuredOutputsParams(grammar=grammar)
            params = SamplingParams(structured_outputs=outputs)
            config = StructuredOutputsConfig()
            params._validate_structured_outputs(model_config, config, tokenizer)
            backend: str | None = outputs._backend
            return backend

        return validated

    def test_a_grammar_that_it_cannot_compile_is_a_clients_mistake(
        self, validate: Callable[[str], str | None]
    ) -> None:
        assert validate('root ::= "a"') == "xgrammar"
        with pytest.raises(VLLMValidationError, match="grammar"):
            validate("root ::=")
        assert validate('root ::= "b"') == "xgrammar"

    def test_the_first_request_decides(self, validate: Callable[[str], str | None]) -> None:
        assert validate("root ::=") == "guidance"
        assert validate('root ::= "a"') == "guidance"
