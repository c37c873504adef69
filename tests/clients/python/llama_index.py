"""LlamaIndex, with its model for servers of OpenAI's API."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from tests.clients.python import program
from tests.clients.python.program import KEY, MODEL, TOKENS, Choice, Report

CHOICES: dict[Choice, str] = {"auto": "auto", "required": "required", "named": program.TOOL}


def start_server(**arguments: Any) -> str:
    return program.RESULT


TOOL = FunctionTool.from_defaults(
    start_server,
    name=program.TOOL,
    description=program.DESCRIPTION,
    fn_schema=program.start_server,
)


def connect(
    key: str = KEY, model: str = MODEL, temperature: float = 0, **options: Any
) -> OpenAILike:
    return OpenAILike(
        api_base=program.BASE_URL,
        api_key=key,
        model=model,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
        strict=True,
        max_retries=0,
        **{"temperature": 0, **options},
    )


def asked(question: str = program.QUESTION) -> list[ChatMessage]:
    return [ChatMessage(question)]


def usage(response: Any) -> list[int]:
    counts = response.additional_kwargs
    return [counts["prompt_tokens"], counts["completion_tokens"]]


def reported(llm: OpenAILike, response: Any) -> Report:
    for call in llm.get_tool_calls_from_response(response, error_on_no_tool_call=False):
        return {"name": call.tool_name, "arguments": call.tool_kwargs}
    return {"text": response.message.content}


class LlamaIndex:
    def chat(self, key: str, model: str, question: str, temperature: float) -> Report:
        # LlamaIndex checks its own parameter temperature
        llm = connect(key, model, additional_kwargs={"temperature": temperature})
        response = llm.chat(asked(question))
        return {"text": response.message.content, "usage": usage(response)}

    def stream(self) -> Report:
        llm = connect(additional_kwargs={"stream_options": {"include_usage": True}})
        responses = list(llm.stream_chat(asked()))
        return {
            "pieces": [response.delta or "" for response in responses],
            "usage": usage(responses[-1]),
        }

    def tool(self, choice: Choice) -> Report:
        llm = connect(max_tokens=TOKENS)
        return reported(
            llm, llm.chat_with_tools([TOOL], chat_history=asked(), tool_choice=CHOICES[choice])
        )

    def streamed_tool(self) -> Report:
        llm = connect(max_tokens=TOKENS)
        responses = list(
            llm.stream_chat_with_tools([TOOL], chat_history=asked(), tool_required=True)
        )
        return reported(llm, responses[-1])

    def tool_result(self) -> Report:
        call = ToolCallBlock(
            tool_call_id=program.CALL_ID, tool_name=program.TOOL, tool_kwargs=program.ARGUMENTS
        )
        result = ChatMessage(program.RESULT, role=MessageRole.TOOL, tool_call_id=program.CALL_ID)
        llm = connect()
        return reported(
            llm,
            llm.chat_with_tools(
                [TOOL],
                chat_history=[
                    *asked(),
                    ChatMessage(role=MessageRole.ASSISTANT, blocks=[call]),
                    result,
                ],
            ),
        )

    def structured(self) -> Report:
        llm = connect(max_tokens=TOKENS).as_structured_llm(program.start_server)
        return {"document": llm.chat(asked()).raw.model_dump()}


if __name__ == "__main__":
    program.run(LlamaIndex())
