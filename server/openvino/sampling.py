"""vLLM's sampling parameters in the pipeline's terms, and what the pipeline cannot do."""

from __future__ import annotations

import random
from collections.abc import Iterator

from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams

from server.openvino.grammar import grammar_of
from server.openvino.messages import Sampling

SEED_BITS = 32
"""The pipeline's random numbers are std::mt19937's, whose seed has as many."""


def refusals(params: SamplingParams) -> Iterator[tuple[str, str]]:
    """Yield each parameter that is set and that the pipeline has nothing for, and its name."""
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
                f"the log-probabilities of {params.logprobs} tokens at each position "
                "(top_logprobs; logprobs of /v1/completions; beam search asks for them too) "
                "are not supported: ask for 0 or 1",
            )
        elif params.logprobs == 1 and not takes_the_likeliest(params):
            yield (
                "top_logprobs",
                "the log-probability of the likeliest token (top_logprobs=1) is known only where "
                "that token is the one taken: at temperature 0, without penalties, min_tokens and "
                "structured output. Ask for top_logprobs=0",
            )


def takes_the_likeliest(params: SamplingParams) -> bool:
    """Whether the token that is taken is the one that the model itself finds the likeliest."""
    return (
        params.temperature == 0
        and params.repetition_penalty == 1
        and params.presence_penalty == 0
        and params.frequency_penalty == 0
        and params.min_tokens == 0
        and params.structured_outputs is None
    )


def check(params: SamplingParams) -> None:
    """Refuse what the pipeline cannot do.

    Raises:
        VLLMValidationError: It names the first such parameter; the server answers 400.
    """
    for parameter, problem in refusals(params):
        raise VLLMValidationError(f"OpenVINO: {problem}.", parameter=parameter)


def pipeline_sampling(
    params: SamplingParams, prompt_tokens: int, max_model_len: int, spaced: bool = True
) -> Sampling:
    """Return how the pipeline samples one sequence.

    Args:
        params: As vLLM's input processor leaves them, checked, with ``n`` of 1.
        prompt_tokens: Length of the prompt.
        max_model_len: Length of prompt and answer, at most.
        spaced: Whether a JSON schema leaves the white space between its parts open.

    Raises:
        VLLMValidationError: The structured output is not one that the pipeline can follow.
    """
    assert params.max_tokens is not None
    # stop strings are looked for in the text, by vLLM, which then cancels the sequence
    ends = set(params.stop_token_ids or ())
    if params.eos_token_id is not None:
        ends.add(params.eos_token_id)
    # without a seed each sequence gets its own, else all would be alike
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
        grammar=grammar_of(params.structured_outputs, spaced)
        if params.structured_outputs
        else None,
    )
