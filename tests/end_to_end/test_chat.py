"""The served demo model, used by the official client."""

from __future__ import annotations

import json

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.support.jdk import JdkRequest, send_with_jdk
from tests.support.launch import KEY, Launch

NAME = "inference-server--Demo-Llama"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is this?"}]


@pytest.fixture(scope="module")
def client(server: Launch) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)


class TestChat:
    def test_it_answers_a_question(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(model=NAME, messages=QUESTION, temperature=0)
        content = answer.choices[0].message.content or ""
        assert content.startswith("This is an inference server")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.model == NAME
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 5

    @pytest.mark.parametrize(
        ("question", "word"),
        [
            ("What does NUM_SHARD do?", "tensor-parallel"),
            ("Which variable names the model?", "MODEL_ID"),
        ],
    )
    def test_it_knows_the_runtime(self, client: OpenAI, question: str, word: str) -> None:
        answer = client.chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": question}], temperature=0
        )
        assert word in (answer.choices[0].message.content or "")

    def test_a_streamed_answer_is_the_same(self, client: OpenAI) -> None:
        whole = client.chat.completions.create(model=NAME, messages=QUESTION, temperature=0)
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(
                model=NAME, messages=QUESTION, temperature=0, stream=True
            )
        ]
        assert len(pieces) > 5
        assert "".join(pieces) == whole.choices[0].message.content

    def test_each_token_has_logprobs(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(
            model=NAME, messages=QUESTION, temperature=0, logprobs=True, top_logprobs=2
        )
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        tokens = logprobs.content or []
        assert tokens
        assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
        assert all(token.top_logprobs[0].token == token.token for token in tokens)

    def test_structured_output(self, client: OpenAI) -> None:
        schema = {
            "type": "object",
            "properties": {"shards": {"type": "integer"}, "offline": {"type": "boolean"}},
            "required": ["shards", "offline"],
            "additionalProperties": False,
        }
        answer = client.chat.completions.create(
            model=NAME,
            messages=QUESTION,
            temperature=0,
            max_tokens=64,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "launch", "schema": schema, "strict": True},
            },
        )
        document = json.loads(answer.choices[0].message.content or "")
        assert set(document) == {"shards", "offline"}
        assert isinstance(document["shards"], int)
        assert isinstance(document["offline"], bool)


def test_a_prompt_is_completed(client: OpenAI) -> None:
    answer = client.completions.create(model=NAME, prompt="MODEL_ID", max_tokens=8, temperature=0)
    assert answer.choices[0].text
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 8


class TestNames:
    def test_the_list_has_the_three_names_of_the_model(self, client: OpenAI) -> None:
        assert [model.id for model in client.models.list()] == [
            NAME,
            NAME.lower(),
            "inference-server/Demo-Llama",
        ]

    @pytest.mark.parametrize("name", [NAME, NAME.lower(), "inference-server/Demo-Llama"])
    def test_each_name_works(self, client: OpenAI, name: str) -> None:
        answer = client.chat.completions.create(model=name, messages=QUESTION, temperature=0)
        assert (answer.choices[0].message.content or "").startswith("This is")

    def test_another_name_is_not_found(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match="another-model"):
            client.chat.completions.create(model="another-model", messages=QUESTION)


class TestWrongRequests:
    def test_a_prompt_beyond_the_context_is_refused(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="context length"):
            client.chat.completions.create(
                model=NAME, messages=[{"role": "user", "content": "word " * 20_000}]
            )

    def test_malformed_json_is_refused(self, server: Launch) -> None:
        status, _, body = server.ask("/v1/chat/completions", b'{"model": ', KEY)
        assert status == 400
        assert "error" in json.loads(body)

    def test_a_request_without_a_key_is_refused(self, server: Launch) -> None:
        assert server.ask("/v1/models")[0] == 401


class TestHealth:
    @pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
    def test_the_paths_of_the_start_still_answer(self, server: Launch, path: str) -> None:
        assert server.ask(path)[0] == 200

    def test_the_status_lists_the_phases_and_the_bytes(self, server: Launch) -> None:
        status, _, body = server.ask("/v1/status", key=KEY)
        document = json.loads(body)
        assert status == 200
        assert document["phase"] == "ready"
        assert list(document["phases"]) == [
            "resolve",
            "import",
            "weights",
            "compile",
            "warm-up",
            "ready",
        ]
        assert document["bytes"]["done"] == document["bytes"]["total"] > 1_000_000
        assert document["model"]["repository"] == "inference-server/Demo-Llama"


def test_javas_default_client_chats_and_streams(server: Launch) -> None:
    """It offers an upgrade to HTTP/2 with its first request."""
    document = {"model": NAME, "messages": QUESTION, "temperature": 0}
    bodies = [json.dumps({**document, "stream": stream}).encode() for stream in (False, True)]
    path = "/v1/chat/completions"
    requests = [JdkRequest(path, bodies[0])] * 5 + [JdkRequest(path, bodies[1], "lines")]
    *answers, stream = send_with_jdk(server.url, requests, KEY)
    assert [answer.status for answer in (*answers, stream)] == [200] * 6
    contents = {json.loads(a.body)["choices"][0]["message"]["content"] for a in answers}
    lines = [line.removeprefix("data: ") for line in stream.body.decode().split("\n") if line]
    assert lines.pop() == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines]
    assert contents == {"".join(deltas)}
