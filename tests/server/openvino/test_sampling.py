"""Translation of sampling parameters for the pipeline."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import RepetitionDetectionParams, SamplingParams, StructuredOutputsParams

from server.openvino.sampling import check, pipeline_sampling

END = 0
OTHER_END = 9
REPETITION = RepetitionDetectionParams(max_pattern_size=4, min_count=2)


def made(**how: Any) -> SamplingParams:
    """Return parameters as vLLM's input processor makes them."""
    params = SamplingParams(**{"max_tokens": 10, **how})
    params.update_from_generation_config({"eos_token_id": [END, OTHER_END]}, END)
    return params


class TestPipelineSampling:
    def test_all_sampling_parameters_are_passed_on(self) -> None:
        sampling = pipeline_sampling(
            made(
                temperature=0.5,
                top_p=0.9,
                top_k=4,
                min_p=0.1,
                repetition_penalty=1.1,
                presence_penalty=0.2,
                frequency_penalty=0.3,
                seed=7,
            ),
            3,
            100,
        )
        assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 4)
        assert (sampling.min_p, sampling.seed) == (0.1, 7)
        assert sampling.repetition_penalty == 1.1
        assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.2, 0.3)
        assert not sampling.logprobs
        assert sampling.grammar is None

    def test_a_sequence_ends_at_end_tokens_and_stop_tokens(self) -> None:
        sampling = pipeline_sampling(made(stop_token_ids=[5]), 3, 100)
        assert sampling.ends == [END, 5, OTHER_END]

    def test_ignore_eos_leaves_no_end_token(self) -> None:
        sampling = pipeline_sampling(made(ignore_eos=True, min_tokens=2), 3, 100)
        assert sampling.ends == []
        assert END in sampling.banned_early

    def test_the_context_length_bounds_the_answer(self) -> None:
        assert pipeline_sampling(made(max_tokens=50), 80, 100).max_tokens == 20

    def test_without_a_seed_each_has_its_own(self) -> None:
        seeds = {pipeline_sampling(made(), 3, 100).seed for _ in range(10)}
        assert len(seeds) > 1

    def test_any_seed_is_reduced_to_32_bits(self) -> None:
        assert 0 <= pipeline_sampling(made(seed=-5), 3, 100).seed < 1 << 32
        assert 0 <= pipeline_sampling(made(seed=1 << 40), 3, 100).seed < 1 << 32

    @pytest.mark.parametrize(("asked", "wanted"), [(None, False), (0, True), (1, True)])
    def test_logprobs_are_requested_if_asked_for(self, asked: int | None, wanted: bool) -> None:
        assert pipeline_sampling(made(logprobs=asked), 3, 100).logprobs is wanted

    def test_structured_output_becomes_a_grammar(self) -> None:
        params = made(structured_outputs=StructuredOutputsParams(regex="[0-9]+"))
        assert "root ::=" in (pipeline_sampling(params, 3, 100).grammar or "")


class TestCheck:
    @pytest.mark.parametrize(
        ("how", "named"),
        [
            ({"logit_bias": {5: 1.0}}, "logit_bias"),
            ({"allowed_token_ids": [5]}, "allowed_token_ids"),
            ({"bad_words": ["x"]}, "bad_words"),
            ({"prompt_logprobs": 0}, "prompt_logprobs"),
            ({"logprob_token_ids": [5]}, "logprob_token_ids"),
            ({"thinking_token_budget": 5}, "thinking_token_budget"),
            (
                {"repetition_detection": REPETITION},
                "repetition_detection",
            ),
            ({"extra_args": {"mine": 1}}, "mine in vllm_xargs"),
            ({"min_p": 1.0}, "min_p"),
            ({"logprobs": 2, "temperature": 0}, "top_logprobs"),
            ({"logprobs": -1, "temperature": 0}, "top_logprobs"),
            ({"logprobs": 1, "temperature": 0.7}, "top_logprobs=1"),
            ({"logprobs": 1, "temperature": 0, "presence_penalty": 1}, "top_logprobs=1"),
        ],
    )
    def test_an_unsupported_parameter_is_named(self, how: dict[str, Any], named: str) -> None:
        with pytest.raises(VLLMValidationError, match=named):
            check(made(**how))

    @pytest.mark.parametrize(
        "how",
        [
            {},
            {"logprobs": 0, "temperature": 1.5},
            {"logprobs": 1, "temperature": 0},
            {"stop": ["x"], "n": 3, "seed": 1, "min_tokens": 2, "min_p": 0.99},
        ],
    )
    def test_supported_parameters_are_accepted(self, how: dict[str, Any]) -> None:
        check(made(**how))
