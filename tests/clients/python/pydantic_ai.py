"""Pydantic AI, with its provider for vLLM."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.direct import model_request_stream_sync, model_request_sync
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.vllm import VLLMProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

ASKED = [ModelRequest.user_text_prompt(program.QUESTION)]
TOOL = ToolDefinition(
    name=program.TOOL,
    description=program.DESCRIPTION,
    parameters_json_schema=program.SCHEMA,
    strict=True,
)
CHOICES: dict[Choice, Any] = {"auto": "auto", "required": "required", "named": [program.TOOL]}


def connect(key: str = KEY, model: str = MODEL) -> OpenAIChatModel:
    client = AsyncOpenAI(base_url=program.BASE_URL, api_key=key, max_retries=0)
    return OpenAIChatModel(model, provider=VLLMProvider(openai_client=client))


def with_tool(choice: Choice) -> dict[str, Any]:
    return {
        "model_settings": ModelSettings(
            temperature=0,
            max_tokens=TOKENS,
            parallel_tool_calls=False,
            tool_choice=CHOICES[choice],
        ),
        "model_request_parameters": ModelRequestParameters(function_tools=[TOOL]),
    }


def reported(response: ModelResponse) -> Report:
    for call in response.tool_calls:
        return {"name": call.tool_name, "arguments": call.args_as_dict()}
    return {"text": response.text}


class PydanticAI:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        result = Agent(connect(key, model)).run_sync(
            question, model_settings=ModelSettings(temperature=temperature)
        )
        usage = result.usage
        return {"text": result.output, "usage": [usage.input_tokens, usage.output_tokens]}

    def stream(self) -> Report:
        result = Agent(connect()).run_stream_sync(program.QUESTION)
        pieces = list(result.stream_text(delta=True, debounce_by=None))
        usage = result.usage
        return {"pieces": pieces, "usage": [usage.input_tokens, usage.output_tokens]}

    def tool(self, choice: Choice) -> Report:
        return reported(model_request_sync(connect(), ASKED, **with_tool(choice)))

    def streamed_tool(self) -> Report:
        with model_request_stream_sync(connect(), ASKED, **with_tool("required")) as stream:
            list(stream)
            return reported(stream.response)

    def tool_result(self) -> Report:
        name, identity = program.TOOL, program.CALL_ID
        messages = [
            *ASKED,
            ModelResponse([ToolCallPart(name, program.ARGUMENTS, identity)]),
            ModelRequest([ToolReturnPart(name, program.RESULT, identity)]),
        ]
        return reported(model_request_sync(connect(), messages, **with_tool("auto")))

    def structured(self) -> Report:
        result = Agent(connect(), output_type=NativeOutput(program.start_server)).run_sync(
            program.QUESTION, model_settings=ModelSettings(max_tokens=TOKENS)
        )
        return {"document": result.output.model_dump()}


if __name__ == "__main__":
    program.run(PydanticAI())
