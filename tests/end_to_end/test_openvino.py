"""The demo model on OpenVINO: converted, served, and used by a client."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from transformers import AutoTokenizer

from demo import files
from demo.artifact import read_snapshot
from demo.evaluate import greedy_answer, load_model
from demo.questions import QUESTIONS_PATH
from demo.questions import load as load_questions
from tests.support.launch import (
    DEMO,
    DEMO_CACHE,
    DRAIN_SECONDS,
    Launch,
    descendants,
    environment,
)

NAME = "inference-server--Demo-Llama"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is this?"}]
PIPELINE = "server.openvino.process"
LONG = 1900
"""Tokens of an answer that is abandoned or cut off: near the context length."""

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "shards",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"count": {"enum": [1, 2]}},
            "required": ["count"],
            "additionalProperties": False,
        },
    },
}


def openvino(home: Path, **variables: str) -> dict[str, str]:
    return environment(home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE), **variables)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Launch]:
    """A server started as the image starts it: no variable names OpenVINO."""
    launch = Launch(
        openvino(
            home,
            ARG="--enable-auto-tool-choice --tool-call-parser hermes",
            SHUTDOWN_TIMEOUT=DRAIN_SECONDS,
        ),
        home / "openvino.log",
    )
    yield launch.until_ready()
    assert launch.stop() == 0, launch.tail()


@pytest.fixture(scope="module")
def client(server: Launch) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def metrics(server: Launch) -> dict[str, float]:
    """Return the sum of each metric's samples."""
    sums: dict[str, float] = {}
    for line in server.ask("/metrics")[2].decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            key = name.partition("{")[0]
            sums[key] = sums.get(key, 0.0) + float(value)
    return sums


class TestAnswers:
    def test_greedy_text_equals_that_of_transformers(self, client: OpenAI) -> None:
        """The text of the float32 model of transformers, word for word."""
        snapshot = read_snapshot(files.CACHE, files.REPOSITORY)
        model, tokenizer = load_model(snapshot, torch.float32)
        template = AutoTokenizer.from_pretrained(snapshot)
        questions = load_questions(QUESTIONS_PATH)
        asked = [question for question, _ in questions.held_out()][:4]
        asked += [question for question, _ in questions.trained()][:4]
        for question in asked:
            messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question}]
            prompt = template.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            answer = client.chat.completions.create(
                model=NAME, messages=messages, temperature=0, max_tokens=100
            )
            assert answer.choices[0].message.content == greedy_answer(model, tokenizer, prompt)

    def test_usage_and_the_finish_reason_are_given(self, client: OpenAI) -> None:
        whole = client.chat.completions.create(model=NAME, messages=QUESTION, temperature=0)
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens > 0
        cut = client.chat.completions.create(
            model=NAME, messages=QUESTION, temperature=0, max_tokens=5
        )
        assert cut.choices[0].finish_reason == "length"
        assert cut.usage is not None
        assert cut.usage.completion_tokens == 5

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

    @pytest.mark.parametrize(("top", "temperature"), [(1, 0.0), (0, 1.0)])
    def test_each_token_has_logprobs(self, client: OpenAI, top: int, temperature: float) -> None:
        answer = client.chat.completions.create(
            model=NAME,
            messages=QUESTION,
            temperature=temperature,
            logprobs=True,
            top_logprobs=top,
        )
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        tokens = logprobs.content or []
        assert "".join(token.token for token in tokens).startswith(
            (answer.choices[0].message.content or "")[:10]
        )
        assert all(token.logprob <= 0 and len(token.top_logprobs) == top for token in tokens)
        assert all(token.top_logprobs[0].token == token.token for token in tokens if top)

    def test_several_answers_differ(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(
            model=NAME, messages=QUESTION, temperature=2, n=4, max_tokens=20
        )
        assert len({choice.message.content for choice in answer.choices}) > 1
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]

    def test_a_seed_repeats_the_answer(self, client: OpenAI) -> None:
        def sampled(seed: int | None) -> str:
            answer = client.chat.completions.create(
                model=NAME, messages=QUESTION, temperature=2, seed=seed, max_tokens=20
            )
            return answer.choices[0].message.content or ""

        assert sampled(7) == sampled(7)
        assert len({sampled(None) for _ in range(4)}) > 1

    def test_a_stop_string_ends_the_answer(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(
            model=NAME, messages=QUESTION, temperature=0, stop=["finds"]
        )
        content = answer.choices[0].message.content or ""
        assert content.startswith("This is an inference server")
        assert "finds" not in content
        assert answer.choices[0].finish_reason == "stop"

    def test_penalties_make_the_text_more_varied(self, client: OpenAI) -> None:
        def said(**how: float) -> list[str]:
            answer = client.completions.create(
                model=NAME,
                prompt="What is this?",
                temperature=0,
                max_tokens=80,
                extra_body={"ignore_eos": True, **how},
            )
            return answer.choices[0].text.split()

        plain, penalised = said(), said(frequency_penalty=2, repetition_penalty=1.5)
        assert len(set(penalised)) / len(penalised) > len(set(plain)) / len(plain)

    def test_several_prompts_are_completed(self, client: OpenAI) -> None:
        answer = client.completions.create(
            model=NAME, prompt=["MODEL_ID", "What"], max_tokens=8, temperature=0, logprobs=1
        )
        assert [len(choice.logprobs.tokens or []) for choice in answer.choices if choice.logprobs]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 16

    def test_the_responses_api_answers(self, client: OpenAI) -> None:
        answer = client.responses.create(model=NAME, input="What is this?", temperature=0)
        assert answer.output_text.startswith("This is an inference server")


class TestStructuredOutput:
    SCHEMA: dict[str, Any] = {  # noqa: RUF012  # read only
        "type": "object",
        "properties": {"shards": {"type": "integer"}, "offline": {"type": "boolean"}},
        "required": ["shards", "offline"],
        "additionalProperties": False,
    }

    def test_the_answer_follows_a_json_schema(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(
            model=NAME,
            messages=QUESTION,
            temperature=0,
            max_tokens=64,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "launch", "schema": self.SCHEMA, "strict": True},
            },
        )
        document = json.loads(answer.choices[0].message.content or "")
        assert set(document) == {"shards", "offline"}

    @pytest.mark.parametrize(
        ("asked", "pattern"),
        [
            ({"regex": "[0-9]{3}-[a-z]{4}"}, "[0-9]{3}-[a-z]{4}"),
            ({"choice": ["yes", "no"]}, "yes|no"),
            ({"grammar": 'root ::= "a" | "b"'}, "a|b"),
        ],
    )
    def test_the_answer_follows_a_pattern(
        self, client: OpenAI, asked: dict[str, Any], pattern: str
    ) -> None:
        answer = client.chat.completions.create(
            model=NAME,
            messages=QUESTION,
            temperature=0,
            max_tokens=20,
            extra_body={"structured_outputs": asked},
        )
        assert re.fullmatch(pattern, answer.choices[0].message.content or "")

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_named_tool_is_called(self, client: OpenAI, stream: bool) -> None:
        asked: dict[str, Any] = {
            "model": NAME,
            "messages": QUESTION,
            "temperature": 0,
            "frequency_penalty": 2,  # otherwise the demo model continues with blanks
            "max_tokens": 64,
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "shards"}},
        }
        if stream:
            calls = [
                call
                for chunk in client.chat.completions.create(**asked, stream=True)
                for call in chunk.choices[0].delta.tool_calls or ()
            ]
            name = calls[0].function.name
            arguments = "".join(call.function.arguments or "" for call in calls)
        else:
            (call,) = client.chat.completions.create(**asked).choices[0].message.tool_calls
            name, arguments = call.function.name, call.function.arguments
        assert name == "shards"
        assert json.loads(arguments)["count"] in (1, 2)


class TestRefusals:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("how", "named"),
        [
            ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
            ({"logit_bias": {"5": 3}}, "logit_bias"),
            ({"extra_body": {"bad_words": ["a"]}}, "bad_words"),
            ({"extra_body": {"prompt_logprobs": 1}}, "prompt_logprobs"),
            ({"extra_body": {"vllm_xargs": {"mine": 1}}}, "mine"),
            ({"extra_body": {"priority": 1}}, "priority"),
            (
                {
                    "extra_body": {
                        "structured_outputs": {"json": {"type": "string", "pattern": "^[^a]+$"}}
                    }
                },
                "pattern",
            ),
            ({"extra_body": {"structured_outputs": {"grammar": "root ::= ((("}}}, "grammar"),
        ],
    )
    def test_what_openvino_cannot_do_is_refused_by_name(
        self, client: OpenAI, how: dict[str, Any], named: str, stream: bool
    ) -> None:
        with pytest.raises(openai.BadRequestError, match=named):
            client.chat.completions.create(
                model=NAME, messages=QUESTION, temperature=0, stream=stream, **how
            )

    def test_beam_search_is_refused(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="beam search"):
            client.chat.completions.create(
                model=NAME, messages=QUESTION, n=2, extra_body={"use_beam_search": True}
            )

    def test_an_image_is_refused(self, client: OpenAI) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}
        messages: Any = [{"role": "user", "content": [image]}]
        with pytest.raises(openai.BadRequestError, match="multimodal"):
            client.chat.completions.create(model=NAME, messages=messages)

    def test_a_prompt_beyond_the_context_is_refused(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="context length"):
            client.chat.completions.create(
                model=NAME, messages=[{"role": "user", "content": "word " * 20_000}]
            )

    def test_the_engine_survives_refusals(self, server: Launch) -> None:
        assert server.ask("/health")[0] == 200


class TestBeside:
    def test_a_client_that_leaves_frees_its_sequence(self, server: Launch, client: OpenAI) -> None:
        before = metrics(server)["vllm:generation_tokens_total"]
        stream = client.completions.create(
            model=NAME,
            prompt="What is this?",
            max_tokens=LONG,
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        for pieces, _ in enumerate(stream):
            if pieces == 5:
                break
        assert metrics(server)["vllm:num_requests_running"] == 1
        stream.close()
        deadline = time.monotonic() + 60
        while metrics(server)["vllm:num_requests_running"] > 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # one more request, so that the engine's step updates the metrics
        client.completions.create(model=NAME, prompt="What", max_tokens=1)
        after = metrics(server)
        assert after["vllm:num_requests_running"] == 0
        assert after["vllm:generation_tokens_total"] - before < LONG

    def test_a_request_adds_to_the_metrics(self, server: Launch, client: OpenAI) -> None:
        before = metrics(server)
        client.completions.create(model=NAME, prompt="What", max_tokens=3, temperature=0)
        after = metrics(server)
        for name, more in (
            ("vllm:generation_tokens_total", 3),
            ("vllm:prompt_tokens_total", 1),
            ("vllm:request_success_total", 1),
        ):
            assert after[name] - before[name] == more
        assert 0 < after["vllm:request_prefill_time_seconds_sum"] < 600

    def test_the_status_lists_the_conversion(self, server: Launch) -> None:
        document = json.loads(server.ask("/v1/status")[2])
        assert document["phase"] == "ready"
        assert list(document["phases"]) == ["resolve", "convert", "import", "weights", "ready"]

    def test_the_log_names_the_other_engine(self, server: Launch) -> None:
        assert "use vLLM's own CPU engine" in server.log.read_text()

    def test_a_prompt_is_tokenized(self, server: Launch) -> None:
        body = json.dumps({"model": NAME, "prompt": "What is this?"}).encode()
        status, _, answer = server.ask("/tokenize", body)
        assert status == 200
        assert json.loads(answer)["count"] > 0


def test_a_running_stream_finishes_after_sigterm(server: Launch, client: OpenAI) -> None:
    """1. A long stream runs. 2. SIGTERM. 3. The stream completes. 4. All processes end."""
    processes = descendants(server.process.pid)
    assert [line for line in processes.values() if PIPELINE in line]
    stream = client.completions.create(
        model=NAME,
        prompt="What is this?",
        max_tokens=LONG,
        temperature=0,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    pieces, reason = 0, None
    for chunk in stream:
        pieces += 1
        if pieces == 5:
            server.process.send_signal(signal.SIGTERM)
        reason = chunk.choices[0].finish_reason or reason
    assert server.process.wait(150) == 0, server.tail()
    assert reason == "length"
    assert pieces > 1000
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]


def test_the_launch_ends_if_the_pipeline_is_killed(home: Path) -> None:
    """1. A stream runs. 2. The pipeline's process is killed. 3. 503, and exit code 70."""
    launch = Launch(openvino(home), home / "dead.log")
    try:
        launch.until_ready()
        client = OpenAI(base_url=f"{launch.url}/v1", api_key="none", max_retries=0)
        stream = client.completions.create(
            model=NAME,
            prompt="What is this?",
            max_tokens=LONG,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        next(iter(stream))
        lines = descendants(launch.process.pid)
        (pipeline,) = (pid for pid, line in lines.items() if PIPELINE in line)
        os.kill(pipeline, signal.SIGKILL)
        with pytest.raises(openai.APIError):
            list(stream)
        assert launch.ask("/health/ready")[0] == 503
        assert launch.process.wait(60) == 70, launch.tail()
    finally:
        launch.stop()


def test_sigterm_ends_a_conversion(home: Path, tmp_path: Path) -> None:
    """1. A converter that never ends replaces the real one. 2. SIGTERM. 3. All end within 2 s."""
    command = tmp_path / "bin" / "optimum-cli"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nexec sleep 600\n")
    command.chmod(0o755)
    launch = Launch(
        openvino(tmp_path, OPENVINO_CONVERTER=str(tmp_path), ACCELERATOR="openvino"),
        tmp_path / "converting.log",
    )
    launch.until_listening()
    launch.until_phase("convert")
    processes = descendants(launch.process.pid)
    while not [line for line in processes.values() if "sleep" in line]:
        assert launch.process.poll() is None, launch.tail()
        processes = descendants(launch.process.pid)
    launch.process.send_signal(signal.SIGTERM)
    assert launch.process.wait(2) == 0, launch.tail()
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.rglob("openvino_model.xml"))
