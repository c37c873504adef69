"""Instructor, on the official Python client of OpenAI's API.

It offers a model one tool, whose arguments are the document that it returns. So the checks that
leave the choice to the model, or continue after a call, do not apply.
"""

from __future__ import annotations

from typing import Any

import instructor
from instructor import Mode
from openai import OpenAI

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report


def mark_strict(**request: Any) -> None:
    """Mark the tool as strict, which Instructor does not."""
    for tool in request.get("tools", []):
        tool["function"]["strict"] = True


def connect(key: str = KEY, mode: Mode = Mode.TOOLS) -> Any:
    client = instructor.from_openai(
        OpenAI(base_url=program.BASE_URL, api_key=key, max_retries=0), mode=mode
    )
    client.on("completion:kwargs", mark_strict)
    return client


def asked(question: str = program.QUESTION, **options: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        **options,
    }


class Instructor:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        answer = connect(key).create(
            **asked(question, model=model, temperature=temperature), response_model=None
        )
        usage = answer.usage
        return {
            "text": answer.choices[0].message.content,
            "usage": [usage.prompt_tokens, usage.completion_tokens],
        }

    def stream(self) -> Report:
        chunks = list(
            connect().create(
                **asked(stream=True, stream_options={"include_usage": True}), response_model=None
            )
        )
        usage = chunks[-1].usage
        return {
            "pieces": [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices],
            "usage": [usage.prompt_tokens, usage.completion_tokens],
        }

    def tool(self, choice: Choice) -> Report:
        if choice != "named":
            raise NotImplementedError
        document, answer = connect().create_with_completion(
            **asked(max_tokens=TOKENS),
            response_model=program.start_server,
            max_retries=0,
        )
        [call] = answer.choices[0].message.tool_calls
        return {"name": call.function.name, "arguments": document.model_dump()}

    def streamed_tool(self) -> Report:
        documents = list(
            connect().create_partial(
                **asked(max_tokens=TOKENS), response_model=program.start_server, max_retries=0
            )
        )
        return {"name": program.TOOL, "arguments": documents[-1].model_dump()}

    def tool_result(self) -> Report:
        raise NotImplementedError

    def structured(self) -> Report:
        document = connect(mode=Mode.JSON_SCHEMA).create(
            **asked(max_tokens=TOKENS), response_model=program.start_server, max_retries=0
        )
        return {"document": document.model_dump()}


if __name__ == "__main__":
    program.run(Instructor())
