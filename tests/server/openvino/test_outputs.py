"""The pipeline's outputs in vLLM's format."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.v1.engine import EngineCoreEventType, FinishReason

from server.openvino.messages import Output
from server.openvino.outputs import SentSequence, engine_output

END = 0


def sent(**changes: Any) -> SentSequence:
    values = {"prompt_tokens": 3, "eos_token_id": END, "top_logprob": False, "queued_at": 1.0}
    return SentSequence(**{**values, **changes})


def test_the_end_token_is_not_a_stop_reason() -> None:
    made = engine_output(Output("a", [4, END], finished_by="stop"), sent())
    assert (made.finish_reason, made.stop_reason) == (FinishReason.STOP, None)


def test_a_stop_token_is_the_stop_reason() -> None:
    made = engine_output(Output("a", [4, 9], finished_by="stop"), sent())
    assert (made.finish_reason, made.stop_reason) == (FinishReason.STOP, 9)


def test_only_the_first_output_has_events_and_prefill_stats() -> None:
    made = engine_output(Output("a", [4], started=2.0), sent())
    assert made.prefill_stats is not None
    assert made.prefill_stats.num_prompt_tokens == 3
    assert [(event.type, event.timestamp) for event in made.events or ()] == [
        (EngineCoreEventType.QUEUED, 1.0),
        (EngineCoreEventType.SCHEDULED, 2.0),
    ]
    later = engine_output(Output("a", [4]), sent(started=True))
    assert (later.prefill_stats, later.events) == (None, None)


@pytest.mark.parametrize(("top", "columns"), [(False, 1), (True, 2)])
def test_logprobs_have_a_second_column_for_the_top_token(top: bool, columns: int) -> None:
    made = engine_output(Output("a", [4, 5], [-0.5, -1.5]), sent(top_logprob=top))
    assert made.new_logprobs is not None
    assert made.new_logprobs.logprob_token_ids.tolist() == [[4] * columns, [5] * columns]
    assert made.new_logprobs.logprobs.tolist() == [[-0.5] * columns, [-1.5] * columns]
