"""Translates the pipeline's outputs for vLLM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, EngineCoreOutput, FinishReason
from vllm.v1.metrics.stats import PrefillStats
from vllm.v1.outputs import LogprobsLists

from server.openvino.messages import Output

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "error": FinishReason.ERROR,
}


@dataclass(slots=True)
class SentSequence:
    """A sequence that was sent to the pipeline's process.

    Attributes:
        prompt_tokens: Number of tokens in the prompt.
        eos_token_id: The end-of-sequence token, which is not reported as a stop reason.
        top_logprob: Whether the client also requested the most likely token, which is the chosen
            one.
        queued_at: When the sequence was sent.
        started: Whether an output has been returned.
    """

    prompt_tokens: int
    eos_token_id: int | None
    top_logprob: bool
    queued_at: float
    started: bool = False


def engine_output(output: Output, sequence: SentSequence) -> EngineCoreOutput:
    """Return an output of a sequence in vLLM's format."""
    translated = EngineCoreOutput(request_id=output.request, new_token_ids=output.tokens)
    if output.finished_by is not None:
        translated.finish_reason = FINISH_REASONS[output.finished_by]
        last = output.tokens[-1] if output.tokens else None
        if output.finished_by == "stop" and last != sequence.eos_token_id:
            translated.stop_reason = last
    if output.logprobs:
        columns = 2 if sequence.top_logprob else 1
        translated.new_logprobs = LogprobsLists(
            logprob_token_ids=np.repeat(np.array(output.tokens)[:, None], columns, axis=1),
            logprobs=np.repeat(np.array(output.logprobs)[:, None], columns, axis=1),
            sampled_token_ranks=np.ones(len(output.tokens), dtype=np.int64),
        )
    if not sequence.started:
        translated.events = [
            EngineCoreEvent(EngineCoreEventType.QUEUED, sequence.queued_at),
            EngineCoreEvent(EngineCoreEventType.SCHEDULED, output.started or sequence.queued_at),
        ]
        translated.prefill_stats = PrefillStats(
            num_prompt_tokens=sequence.prompt_tokens, num_computed_tokens=sequence.prompt_tokens
        )
    return translated
