"""The pipeline's process, for real, on the demo model."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from vllm.sampling_params import StructuredOutputsParams

from demo import files
from server.openvino.grammar import grammar_of
from server.openvino.messages import (
    Cancel,
    Event,
    Failed,
    FramedSocket,
    Generate,
    Load,
    Loaded,
    Output,
    Sampling,
    Step,
    decode_event,
)

PROMPT = "What is this?\n"
ANSWER = "This is an inference server"
END = 0
STEPS = 4000
"""More steps than any test needs."""


def load(model: Path, **properties: str) -> Load:
    return Load(str(model), "CPU", 1, 16, 256, True, True, properties)


class Pipeline:
    """The process and its messages."""

    def __init__(self, wanted: Load) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(120)
        self.socket = ours
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.openvino.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self.framed = FramedSocket(ours)
        self.framed.send(wanted)

    def next(self) -> Event:
        body = self.framed.receive(wait=True)
        assert body is not None
        return decode_event(body)

    def generate(self, *wanted: Generate) -> dict[str, Output]:
        """Generate several sequences concurrently; return the complete output of each."""
        for each in wanted:
            self.framed.send(each)
        whole = {each.request: Output(each.request) for each in wanted}
        for _ in range(STEPS):
            step = self.next()
            assert isinstance(step, Step), step
            for output in step.outputs:
                before = whole[output.request]
                whole[output.request] = Output(
                    output.request,
                    before.tokens + output.tokens,
                    before.logprobs + output.logprobs,
                    output.finished_by,
                    output.error,
                )
            if all(output.finished_by for output in whole.values()):
                return whole
        raise AssertionError("it does not end")

    def end(self) -> int:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        return self.process.wait(60)


@contextlib.contextmanager
def running(wanted: Load) -> Iterator[Pipeline]:
    pipeline = Pipeline(wanted)
    try:
        yield pipeline
    finally:
        assert pipeline.end() == 0


@pytest.fixture(scope="module")
def pipeline(demo: Path) -> Iterator[Pipeline]:
    with running(load(demo)) as started:
        assert started.next() == Loaded()
        yield started


@pytest.fixture(scope="module")
def tokenizer(snapshot: Path) -> Tokenizer:
    return Tokenizer.from_file(str(snapshot / files.TOKENIZER_FILE))


@pytest.fixture(scope="module")
def prompt(tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = tokenizer.encode(PROMPT, add_special_tokens=False).ids
    return ids


def greedy(max_tokens: int = 60, **how: object) -> Sampling:
    return Sampling(max_tokens=max_tokens, ends=[END], **how)  # type: ignore[arg-type]  # any field


class TestGenerating:
    def test_a_sequence_ends_at_the_end_token(
        self, pipeline: Pipeline, prompt: list[int], tokenizer: Tokenizer
    ) -> None:
        output = pipeline.generate(Generate("a", prompt, greedy(logprobs=True)))["a"]
        assert tokenizer.decode(output.tokens).startswith(ANSWER)
        assert output.finished_by == "stop"
        assert output.tokens[-1] == END
        assert len(output.logprobs) == len(output.tokens)
        assert all(logprob <= 0 for logprob in output.logprobs)

    def test_a_sequence_ends_at_its_maximum_length(
        self, pipeline: Pipeline, prompt: list[int]
    ) -> None:
        output = pipeline.generate(Generate("a", prompt, greedy(4)))["a"]
        assert (len(output.tokens), output.finished_by) == (4, "length")
        assert output.logprobs == []

    def test_a_sequence_ends_at_a_stop_token(self, pipeline: Pipeline, prompt: list[int]) -> None:
        whole = pipeline.generate(Generate("a", prompt, greedy(6)))["a"].tokens
        sampling = Sampling(max_tokens=20, ends=[END, whole[3]])
        output = pipeline.generate(Generate("b", prompt, sampling))["b"]
        assert output.tokens == whole[:4]
        assert output.finished_by == "stop"

    def test_no_sequence_ends_before_its_minimum(
        self, pipeline: Pipeline, prompt: list[int]
    ) -> None:
        output = pipeline.generate(Generate("a", prompt, greedy(60, min_tokens=50)))["a"]
        assert len(output.tokens) >= 50
        assert END not in output.tokens[:50]

    def test_without_end_tokens_a_sequence_continues(
        self, pipeline: Pipeline, prompt: list[int]
    ) -> None:
        sampling = Sampling(max_tokens=60, banned_early=[END])
        output = pipeline.generate(Generate("a", prompt, sampling))["a"]
        assert (len(output.tokens), output.finished_by) == (60, "length")
        assert END in output.tokens

    def test_concurrent_sequences_get_the_same_tokens_as_one(
        self, pipeline: Pipeline, prompt: list[int]
    ) -> None:
        alone = pipeline.generate(Generate("a", prompt, greedy()))["a"].tokens
        together = pipeline.generate(*(Generate(f"{i}", prompt, greedy()) for i in range(20)))
        assert all(output.tokens == alone for output in together.values())

    def test_a_seed_decides_whatever_else_runs(self, pipeline: Pipeline, prompt: list[int]) -> None:
        def sampled(seed: int) -> Sampling:
            return Sampling(max_tokens=20, temperature=2.0, seed=seed)

        alone = pipeline.generate(Generate("a", prompt, sampled(5)))["a"].tokens
        beside = pipeline.generate(
            Generate("a", prompt, sampled(5)), Generate("b", prompt, sampled(6))
        )
        assert beside["a"].tokens == alone
        assert beside["b"].tokens != alone

    def test_penalties_vary_the_tokens(self, pipeline: Pipeline, prompt: list[int]) -> None:
        plain = pipeline.generate(Generate("a", prompt, Sampling(max_tokens=80)))["a"].tokens
        penalised = Sampling(max_tokens=80, frequency_penalty=2, presence_penalty=2)
        varied = pipeline.generate(Generate("a", prompt, penalised))["a"].tokens
        assert len(set(varied)) > len(set(plain))


@pytest.mark.parametrize(
    "asked",
    [
        StructuredOutputsParams(
            json={
                "type": "object",
                "properties": {
                    "a": {"type": "string", "pattern": "^[a-c]{2,}$"},
                    "b": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
                    "c": {"anyOf": [{"type": "null"}, {"enum": ["ü", "{0, -1}"]}]},
                },
                "required": ["a", "b", "c"],
            }
        ),
        StructuredOutputsParams(json_object=True),
        StructuredOutputsParams(regex=r"\d{3}-[a-z]+\.?"),
        StructuredOutputsParams(grammar='root ::= word{2, 3}\nword ::= [a-z]+ " "'),
        StructuredOutputsParams(grammar='start: "a"+ | "b" NAME?\nNAME: /[a-z]{2}/'),
        StructuredOutputsParams(
            structural_tag='{"type": "structural_tag", "format": {"type": "triggered_tags", '
            '"triggers": ["<call>"], "tags": [{"begin": "<call>", "content": {"type": '
            '"json_schema", "json_schema": {"type": "object"}}, "end": "</call>"}]}}'
        ),
    ],
)
def test_the_pipeline_reads_every_kind_of_grammar(
    pipeline: Pipeline, prompt: list[int], asked: StructuredOutputsParams
) -> None:
    output = pipeline.generate(Generate("a", prompt, greedy(8, grammar=grammar_of(asked))))["a"]
    assert output.error is None
    assert output.tokens


class TestFaults:
    def test_a_refused_request_does_not_stop_the_others(
        self, pipeline: Pipeline, prompt: list[int]
    ) -> None:
        refused = Generate("a", prompt, Sampling(max_tokens=0))
        outputs = pipeline.generate(refused, Generate("b", prompt, greedy(3)))
        assert outputs["a"].finished_by == "error"
        assert "max_new_tokens" in (outputs["a"].error or "")
        assert outputs["b"].finished_by == "length"

    def test_a_cancelled_sequence_has_no_more_output(
        self, pipeline: Pipeline, prompt: list[int]
    ) -> None:
        pipeline.framed.send(Generate("a", prompt, Sampling(max_tokens=1500)))
        assert isinstance(pipeline.next(), Step)
        pipeline.framed.send(Cancel(["a"]))
        pipeline.framed.send(Generate("b", prompt, greedy(3)))
        seen: list[str] = []
        running = STEPS
        for _ in range(STEPS):
            step = pipeline.next()
            assert isinstance(step, Step)
            seen += [output.request for output in step.outputs]
            running = step.running
            if any(output.request == "b" and output.finished_by for output in step.outputs):
                break
        assert "a" not in seen[seen.index("b") :]
        assert running <= 1

    def test_a_missing_model_ends_the_process(self, tmp_path: Path) -> None:
        pipeline = Pipeline(load(tmp_path))
        message = pipeline.next()
        assert isinstance(message, Failed)
        assert message.error
        assert pipeline.end() == 1

    def test_a_step_that_fails_ends_the_process(self, demo: Path, prompt: list[int]) -> None:
        """The server refuses such a grammar; the test sends it past the server."""
        pipeline = Pipeline(load(demo))
        assert pipeline.next() == Loaded()
        pipeline.framed.send(Generate("a", prompt, greedy(grammar="root ::= (((")))
        message = pipeline.next()
        assert isinstance(message, Failed)
        assert "EBNF" in message.error
        assert pipeline.end() == 1


class TestLoading:
    def test_int8_weights_are_smaller_and_answer_alike(
        self, demo_int8: Path, demo: Path, prompt: list[int], tokenizer: Tokenizer
    ) -> None:
        model = "openvino_model.bin"
        assert (demo_int8 / model).stat().st_size < 0.7 * (demo / model).stat().st_size
        with running(load(demo_int8)) as pipeline:
            assert pipeline.next() == Loaded()
            output = pipeline.generate(Generate("a", prompt, greedy()))["a"]
        assert tokenizer.decode(output.tokens).startswith(ANSWER)

    @pytest.mark.parametrize("precision", ["u8", "f16", "f32"])
    def test_the_model_runs_with_each_cache_precision(
        self, demo: Path, prompt: list[int], tokenizer: Tokenizer, precision: str
    ) -> None:
        properties = {"KV_CACHE_PRECISION": precision}
        if precision == "f32":  # as load_message does
            properties["INFERENCE_PRECISION_HINT"] = "f32"
        with running(load(demo, **properties)) as pipeline:
            assert pipeline.next() == Loaded()
            output = pipeline.generate(Generate("a", prompt, greedy(10)))["a"]
        assert tokenizer.decode(output.tokens).startswith("This is")
