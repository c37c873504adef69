"""The official Python client of OpenAI's API."""

from __future__ import annotations

import json

from openai import OpenAI
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionToolChoiceOptionParam,
)

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": program.QUESTION}]
TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": program.TOOL,
        "description": program.DESCRIPTION,
        "strict": True,
        "parameters": program.SCHEMA,
    },
}
CHOICES: dict[Choice, ChatCompletionToolChoiceOptionParam] = {
    "auto": "auto",
    "required": "required",
    "named": {"type": "function", "function": {"name": program.TOOL}},
}


def connect(key: str) -> OpenAI:
    return OpenAI(base_url=program.BASE_URL, api_key=key, max_retries=0)


class OpenAIPython:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        answer = connect(key).chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=temperature,
        )
        assert answer.usage is not None
        return {
            "text": answer.choices[0].message.content,
            "usage": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
        }

    def stream(self) -> Report:
        with connect(KEY).chat.completions.stream(
            model=MODEL, messages=ASKED, temperature=0, stream_options={"include_usage": True}
        ) as stream:
            pieces = [event.delta for event in stream if event.type == "content.delta"]
            usage = stream.get_final_completion().usage
        assert usage is not None
        return {"pieces": pieces, "usage": [usage.prompt_tokens, usage.completion_tokens]}

    def tool(self, choice: Choice) -> Report:
        answer = connect(KEY).chat.completions.create(
            model=MODEL,
            messages=ASKED,
            temperature=0,
            max_completion_tokens=TOKENS,
            tools=[TOOL],
            tool_choice=CHOICES[choice],
            parallel_tool_calls=False,
        )
        message = answer.choices[0].message
        if not message.tool_calls:
            return {"text": message.content}
        [call] = message.tool_calls
        assert call.type == "function"
        return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}

    def streamed_tool(self) -> Report:
        with connect(KEY).chat.completions.stream(
            model=MODEL,
            messages=ASKED,
            temperature=0,
            max_completion_tokens=TOKENS,
            tools=[TOOL],
            tool_choice="required",
            parallel_tool_calls=False,
        ) as stream:
            [call] = stream.get_final_completion().choices[0].message.tool_calls or []
        return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}

    def tool_result(self) -> Report:
        answer = connect(KEY).chat.completions.create(
            model=MODEL,
            messages=[
                *ASKED,
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": program.CALL_ID,
                            "type": "function",
                            "function": {
                                "name": program.TOOL,
                                "arguments": json.dumps(program.ARGUMENTS),
                            },
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": program.CALL_ID, "content": program.RESULT},
            ],
            temperature=0,
            tools=[TOOL],
        )
        return {"text": answer.choices[0].message.content}

    def structured(self) -> Report:
        answer = connect(KEY).chat.completions.parse(
            model=MODEL,
            messages=ASKED,
            temperature=0,
            max_completion_tokens=TOKENS,
            response_format=program.start_server,
        )
        document = answer.choices[0].message.parsed
        assert document is not None
        return {"document": document.model_dump()}


if __name__ == "__main__":
    program.run(OpenAIPython())
