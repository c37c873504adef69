"""The official Python client of Anthropic's API."""

from __future__ import annotations

from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolChoiceParam, ToolParam

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

ASKED: list[MessageParam] = [{"role": "user", "content": program.QUESTION}]
TOOL: ToolParam = {
    "name": program.TOOL,
    "description": program.DESCRIPTION,
    "strict": True,
    "input_schema": program.SCHEMA,
}
CHOICES: dict[Choice, ToolChoiceParam] = {
    "auto": {"type": "auto", "disable_parallel_tool_use": True},
    "required": {"type": "any", "disable_parallel_tool_use": True},
    "named": {"type": "tool", "name": program.TOOL, "disable_parallel_tool_use": True},
}


def connect(key: str) -> Anthropic:
    """Return a client, which sends its key as ``x-api-key``."""
    return Anthropic(base_url=program.URL, api_key=key, max_retries=0)


def reported(message: Message) -> Report:
    for block in message.content:
        if block.type == "tool_use":
            return {"name": block.name, "arguments": block.input}
    return {"text": "".join(block.text for block in message.content if block.type == "text")}


class AnthropicPython:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        message = connect(key).messages.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=TOKENS,
            extra_body={"temperature": temperature},
        )
        usage = message.usage
        return {**reported(message), "usage": [usage.input_tokens, usage.output_tokens]}

    def stream(self) -> Report:
        with connect(KEY).messages.stream(model=MODEL, messages=ASKED, max_tokens=TOKENS) as stream:
            pieces = list(stream.text_stream)
            usage = stream.get_final_message().usage
        return {"pieces": pieces, "usage": [usage.input_tokens, usage.output_tokens]}

    def tool(self, choice: Choice) -> Report:
        return reported(
            connect(KEY).messages.create(
                model=MODEL,
                messages=ASKED,
                max_tokens=TOKENS,
                tools=[TOOL],
                tool_choice=CHOICES[choice],
            )
        )

    def streamed_tool(self) -> Report:
        with connect(KEY).messages.stream(
            model=MODEL,
            messages=ASKED,
            max_tokens=TOKENS,
            tools=[TOOL],
            tool_choice=CHOICES["required"],
        ) as stream:
            return reported(stream.get_final_message())

    def tool_result(self) -> Report:
        return reported(
            connect(KEY).messages.create(
                model=MODEL,
                messages=[
                    *ASKED,
                    {
                        "role": "assistant",
                        "content": [
                            {
                                "type": "tool_use",
                                "id": program.CALL_ID,
                                "name": program.TOOL,
                                "input": program.ARGUMENTS,
                            }
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": program.CALL_ID,
                                "content": program.RESULT,
                            }
                        ],
                    },
                ],
                max_tokens=TOKENS,
                tools=[TOOL],
            )
        )

    def structured(self) -> Report:
        message = connect(KEY).messages.parse(
            model=MODEL, messages=ASKED, max_tokens=TOKENS, output_format=program.start_server
        )
        assert message.parsed_output is not None
        return {"document": message.parsed_output.model_dump()}


if __name__ == "__main__":
    program.run(AnthropicPython())
