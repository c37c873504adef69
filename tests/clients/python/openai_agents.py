"""OpenAI's Agents SDK, on the chat completions API."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

CHOICES: dict[Choice, str] = {"auto": "auto", "required": "required", "named": program.TOOL}


class RecordingTool:
    """The strict tool, which records the arguments of its calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    async def invoke(self, context: Any, arguments: str) -> str:
        self.calls.append(program.start_server.model_validate_json(arguments).model_dump())
        return program.RESULT

    def offered(self) -> FunctionTool:
        return FunctionTool(
            name=program.TOOL,
            description=program.DESCRIPTION,
            params_json_schema=program.SCHEMA,
            on_invoke_tool=self.invoke,
            strict_json_schema=True,
        )

    def reported(self, text: str) -> Report:
        if not self.calls:
            return {"text": text}
        [arguments] = self.calls
        return {"name": program.TOOL, "arguments": arguments, "text": text}


def agent(key: str = KEY, model: str = MODEL, **options: Any) -> Agent[None]:
    client = AsyncOpenAI(base_url=program.BASE_URL, api_key=key, max_retries=0)
    settings = ModelSettings(
        **{"temperature": 0, "include_usage": True, **options.pop("settings", {})}
    )
    return Agent(
        name="agent",
        model=OpenAIChatCompletionsModel(model, client),
        model_settings=settings,
        **options,
    )


def with_tool(tool: RecordingTool, choice: Choice) -> Agent[None]:
    settings = {
        "max_tokens": TOKENS,
        "tool_choice": CHOICES[choice],
        "parallel_tool_calls": False,
    }
    return agent(tools=[tool.offered()], settings=settings)


def usage(result: Any) -> list[int]:
    counts = result.context_wrapper.usage
    return [counts.input_tokens, counts.output_tokens]


class OpenAIAgents:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        asked = agent(key, model, settings={"temperature": temperature})
        result = Runner.run_sync(asked, question)
        return {"text": result.final_output, "usage": usage(result)}

    def stream(self) -> Report:
        return asyncio.run(self._stream())

    async def _stream(self) -> Report:
        result = Runner.run_streamed(agent(), program.QUESTION)
        pieces = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
        return {"pieces": pieces, "usage": usage(result)}

    def tool(self, choice: Choice) -> Report:
        tool = RecordingTool()
        result = Runner.run_sync(with_tool(tool, choice), program.QUESTION)
        return tool.reported(result.final_output)

    def streamed_tool(self) -> Report:
        return asyncio.run(self._streamed_tool())

    async def _streamed_tool(self) -> Report:
        tool = RecordingTool()
        result = Runner.run_streamed(with_tool(tool, "required"), program.QUESTION)
        async for _ in result.stream_events():
            pass
        return tool.reported(result.final_output)

    def tool_result(self) -> Report:
        return {"text": self.tool("required")["text"]}

    def structured(self) -> Report:
        result = Runner.run_sync(agent(output_type=program.start_server), program.QUESTION)
        return {"document": result.final_output.model_dump()}


if __name__ == "__main__":
    set_tracing_disabled(True)
    program.run(OpenAIAgents())
