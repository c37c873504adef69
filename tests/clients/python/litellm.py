"""LiteLLM, with its provider for servers of OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

import litellm

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

ASKED = [{"role": "user", "content": program.QUESTION}]
TOOL = {
    "type": "function",
    "function": {
        "name": program.TOOL,
        "description": program.DESCRIPTION,
        "strict": True,
        "parameters": program.SCHEMA,
    },
}
CHOICES: dict[Choice, Any] = {
    "auto": "auto",
    "required": "required",
    "named": {"type": "function", "function": {"name": program.TOOL}},
}


def complete(key: str = KEY, model: str = MODEL, **options: Any) -> Any:
    return litellm.completion(
        model=f"openai/{model}",
        api_base=program.BASE_URL,
        api_key=key,
        max_retries=0,
        **{"messages": ASKED, "temperature": 0, **options},
    )


def with_tool(choice: Choice, **options: Any) -> Any:
    return complete(
        tools=[TOOL],
        tool_choice=CHOICES[choice],
        parallel_tool_calls=False,
        max_tokens=TOKENS,
        **options,
    )


def reported(answer: Any) -> Report:
    message = answer.choices[0].message
    if not message.tool_calls:
        return {"text": message.content}
    [call] = message.tool_calls
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}


def usage(answer: Any) -> list[int]:
    return [answer.usage.prompt_tokens, answer.usage.completion_tokens]


class LiteLLM:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        messages = [{"role": "user", "content": question}]
        answer = complete(key, model, messages=messages, temperature=temperature)
        return {**reported(answer), "usage": usage(answer)}

    def stream(self) -> Report:
        chunks = list(complete(stream=True, stream_options={"include_usage": True}))
        answer = litellm.stream_chunk_builder(chunks)
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        return {"pieces": pieces, "usage": usage(answer)}

    def tool(self, choice: Choice) -> Report:
        return reported(with_tool(choice))

    def streamed_tool(self) -> Report:
        chunks = list(with_tool("required", stream=True))
        return reported(litellm.stream_chunk_builder(chunks))

    def tool_result(self) -> Report:
        function = {"name": program.TOOL, "arguments": json.dumps(program.ARGUMENTS)}
        call = {"id": program.CALL_ID, "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": program.CALL_ID, "content": program.RESULT}
        messages = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
        return reported(with_tool("auto", messages=messages))

    def structured(self) -> Report:
        answer = complete(response_format=program.start_server, max_tokens=TOKENS)
        return {"document": json.loads(answer.choices[0].message.content)}


if __name__ == "__main__":
    program.run(LiteLLM())
