"""Translates vLLM's sampling parameters for the pipeline, and refuses unsupported ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams

from server.openvino.grammar import grammar_of
from server.openvino.messages import Sampling

SEED_BITS = 32
"""Size of the pipeline's seeds: it uses std::mt19937."""


def refusals(params: SamplingParams) -> Iterator[tuple[str, str]]:
    """Yield the name and the problem of each parameter that the pipeline does not support."""
    for name in (
        "logit_bias",
        "allowed_token_ids",
        "bad_words",
        "prompt_logprobs",
        "prompt_logprob_token_ids",
        "logprob_token_ids",
        "thinking_token_budget",
        "repetition_detection",
        "trace_decode_token_ids",
    ):
        value = getattr(params, name)
        if value is not None and value != []:
            yield name, f"{name} is not supported"
    if params.extra_args:
        yield "extra_args", f"{', '.join(sorted(params.extra_args))} in vllm_xargs is not supported"
    if params.min_p >= 1:
        yield "min_p", "min_p must be less than 1"
    if params.logprobs is not None:
        if not 0 <= params.logprobs <= 1:
            yield (
                "top_logprobs",
                f"log-probabilities of {params.logprobs} tokens per position (top_logprobs, "
                "logprobs of /v1/completions, or beam search) are not supported; request 0 or 1",
            )
        elif params.logprobs == 1 and not is_greedy(params):
            yield (
                "top_logprobs",
                "the log-probability of the most likely token (top_logprobs=1) is known only if "
                "that token is always chosen: at temperature 0, without penalties, min_tokens, and "
                "structured output. Request top_logprobs=0",
            )


def is_greedy(params: SamplingParams) -> bool:
    """Whether the pipeline always chooses the token that the model finds most likely."""
    return (
        params.temperature == 0
        and params.repetition_penalty == 1
        and params.presence_penalty == 0
        and params.frequency_penalty == 0
        and params.min_tokens == 0
        and params.structured_outputs is None
    )


def check(params: SamplingParams) -> None:
    """Refuse unsupported parameters.

    Raises:
        VLLMValidationError: Names the first unsupported parameter; the server answers 400.
    """
    for parameter, problem in refusals(params):
        raise VLLMValidationError(f"OpenVINO: {problem}.", parameter=parameter)


def pipeline_sampling(
    params: SamplingParams, prompt_tokens: int, max_model_len: int, any_whitespace: bool = True
) -> Sampling:
    """Return how the pipeline is to sample one sequence.

    Args:
        params: Processed by vLLM's input processor, checked, with ``n`` of 1.
        prompt_tokens: Number of tokens in the prompt.
        max_model_len: Maximum length of prompt and answer.
        any_whitespace: Whether a JSON schema allows any white space between its parts.

    Raises:
        VLLMValidationError: The pipeline cannot enforce the structured output.
    """
    assert params.max_tokens is not None
    # vLLM itself finds stop strings in the text, and cancels the sequence
    ends = set(params.stop_token_ids or ())
    if params.eos_token_id is not None:
        ends.add(params.eos_token_id)
    # without a seed, each sequence gets a random one; otherwise all would be the same
    seed = params.seed if params.seed is not None else random.getrandbits(SEED_BITS)
    return Sampling(
        max_tokens=min(params.max_tokens, max_model_len - prompt_tokens),
        min_tokens=params.min_tokens,
        ends=sorted(ends),
        banned_early=sorted(params.all_stop_token_ids),
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=max(params.top_k, 0),
        min_p=params.min_p,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        seed=seed % (1 << SEED_BITS),
        logprobs=params.logprobs is not None,
        grammar=grammar_of(params.structured_outputs, any_whitespace)
        if params.structured_outputs
        else None,
    )
