"""LangChain's chat model for OpenAI's API."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

TOOL: dict[str, Any] = {
    "name": program.TOOL,
    "description": program.DESCRIPTION,
    "parameters": program.SCHEMA,
}
CHOICES: dict[Choice, str] = {"auto": "auto", "required": "required", "named": program.TOOL}


def connect(key: str = KEY, model: str = MODEL, temperature: float = 0) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=program.BASE_URL,
        api_key=key,
        model=model,
        temperature=temperature,
        stream_usage=True,
        max_retries=0,
    )


def with_tool(choice: Choice) -> Any:
    return connect().bind_tools(
        [TOOL], tool_choice=CHOICES[choice], strict=True, parallel_tool_calls=False
    )


def reported(message: Any) -> Report:
    if not message.tool_calls:
        return {"text": message.text}
    [call] = message.tool_calls
    return {"name": call["name"], "arguments": call["args"]}


def usage(message: Any) -> list[int]:
    counts = message.usage_metadata
    return [counts["input_tokens"], counts["output_tokens"]]


class LangChain:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        message = connect(key, model, temperature).invoke(question)
        return {"text": message.text, "usage": usage(message)}

    def stream(self) -> Report:
        chunks = list(connect().stream(program.QUESTION))
        whole: Any = sum(chunks[1:], chunks[0])
        return {"pieces": [chunk.text for chunk in chunks], "usage": usage(whole)}

    def tool(self, choice: Choice) -> Report:
        return reported(with_tool(choice).invoke(program.QUESTION, max_tokens=TOKENS))

    def streamed_tool(self) -> Report:
        chunks = list(with_tool("required").stream(program.QUESTION, max_tokens=TOKENS))
        return reported(sum(chunks[1:], chunks[0]))

    def tool_result(self) -> Report:
        call = {"name": program.TOOL, "args": program.ARGUMENTS, "id": program.CALL_ID}
        return reported(
            with_tool("auto").invoke(
                [
                    HumanMessage(program.QUESTION),
                    AIMessage("", tool_calls=[call]),
                    ToolMessage(program.RESULT, tool_call_id=program.CALL_ID),
                ]
            )
        )

    def structured(self) -> Report:
        document = connect().with_structured_output(program.start_server).invoke(program.QUESTION)
        return {"document": document.model_dump()}


if __name__ == "__main__":
    program.run(LangChain())
