"""A client of OpenAI's API without a library: it writes the JSON, and another program sends it."""

from __future__ import annotations

import json
from typing import Any, Protocol

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


class Post(Protocol):
    def __call__(self, path: str, key: str, body: str) -> tuple[int, str]:
        """Post JSON with a key; return the status and the body of the answer."""


class Refused(Exception):
    """The answer has an error."""

    def __init__(self, status: int, body: str):
        super().__init__(body)
        self.status_code = status
        self.body = json.loads(body)


def usage(answer: Any) -> list[int]:
    return [answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]]


def reported(message: Any) -> Report:
    if not message.get("tool_calls"):
        return {"text": message["content"]}
    [call] = message["tool_calls"]
    function = call["function"]
    return {"name": function["name"], "arguments": json.loads(function["arguments"])}


class Plain:
    """The calls, sent by one program."""

    def __init__(self, post: Post):
        self.post = post

    def send(self, key: str = KEY, **options: Any) -> str:
        request = {"model": MODEL, "messages": ASKED, "temperature": 0, **options}
        status, body = self.post("/v1/chat/completions", key, json.dumps(request))
        if status != 200:
            raise Refused(status, body)
        return body

    def complete(self, key: str = KEY, **options: Any) -> Any:
        return json.loads(self.send(key, **options))

    def streamed(self, **options: Any) -> list[Any]:
        """Return the chunks of a stream."""
        lines = self.send(stream=True, stream_options={"include_usage": True}, **options)
        events = [line.removeprefix("data: ") for line in lines.splitlines() if line]
        assert events[-1] == "[DONE]"
        return [json.loads(event) for event in events[:-1]]

    def with_tool(self, choice: Choice) -> dict[str, Any]:
        return {
            "max_tokens": TOKENS,
            "tools": [TOOL],
            "tool_choice": CHOICES[choice],
            "parallel_tool_calls": False,
        }

    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        messages = [{"role": "user", "content": question}]
        answer = self.complete(key, model=model, messages=messages, temperature=temperature)
        return {**reported(answer["choices"][0]["message"]), "usage": usage(answer)}

    def stream(self) -> Report:
        chunks = self.streamed()
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        pieces = [delta.get("content") or "" for delta in deltas]
        return {"pieces": pieces, "usage": usage(chunks[-1])}

    def tool(self, choice: Choice) -> Report:
        return reported(self.complete(**self.with_tool(choice))["choices"][0]["message"])

    def streamed_tool(self) -> Report:
        functions = [
            call["function"]
            for chunk in self.streamed(**self.with_tool("required"))
            for choice in chunk["choices"]
            for call in choice["delta"].get("tool_calls", ())
        ]
        [name] = [function["name"] for function in functions if function.get("name")]
        arguments = "".join(function.get("arguments") or "" for function in functions)
        return {"name": name, "arguments": json.loads(arguments)}

    def tool_result(self) -> Report:
        function = {"name": program.TOOL, "arguments": json.dumps(program.ARGUMENTS)}
        call = {"id": program.CALL_ID, "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": program.CALL_ID, "content": program.RESULT}
        messages = [*ASKED, {"role": "assistant", "tool_calls": [call]}, result]
        answer = self.complete(**self.with_tool("auto"), messages=messages)
        return reported(answer["choices"][0]["message"])

    def structured(self) -> Report:
        schema = {"name": "launch", "strict": True, "schema": program.SCHEMA}
        answer = self.complete(
            max_tokens=TOKENS, response_format={"type": "json_schema", "json_schema": schema}
        )
        return {"document": json.loads(answer["choices"][0]["message"]["content"])}
