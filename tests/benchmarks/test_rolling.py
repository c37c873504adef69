"""Which streams count as lost, and which restarts as faulty."""

from __future__ import annotations

import dataclasses
import json

from benchmarks.rolling import COMPLETE, ENDED, LOST, Restart, faults, judge

PIECE = json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]})
LAST = json.dumps({"choices": [{"delta": {}, "finish_reason": "length"}]})
USAGE = json.dumps({"choices": [], "usage": {"completion_tokens": 7}})
ERROR = json.dumps({"error": {"message": "stopping", "code": 503}})
DONE = "[DONE]"


class TestJudge:
    def test_a_stream_of_the_requested_length_is_complete(self) -> None:
        assert judge([PIECE, LAST, USAGE, DONE], 7) == (COMPLETE, "")

    def test_an_error_event_and_done_end_a_stream(self) -> None:
        assert judge([PIECE, ERROR, DONE], 7) == (ENDED, "")
        assert judge([ERROR, DONE], 7) == (ENDED, "")

    def test_a_stream_without_done_is_lost(self) -> None:
        for events in ([], [PIECE], [PIECE, LAST], [PIECE, LAST, USAGE], [PIECE, ERROR]):
            assert judge(events, 7)[0] == LOST

    def test_done_before_the_requested_length_is_a_loss(self) -> None:
        assert judge([PIECE, DONE], 7)[0] == LOST
        assert judge([PIECE, LAST, USAGE, DONE], 8)[0] == LOST


class TestFaults:
    GOOD = Restart(
        replica="replica 0",
        tokens=[10, 100],
        in_flight=4,
        ends={COMPLETE: 2, ENDED: 2},
        here={ENDED: 2},
        lost=[],
        exit_code=0,
        exit_seconds=26.5,
        left_behind=0,
        newcomers=3,
        unanswered=[],
        sent_again=1,
    )

    def test_a_good_restart_has_no_faults(self) -> None:
        assert faults([self.GOOD], timeout=25) == []

    def test_each_fault_is_reported(self) -> None:
        bad = {
            "1 lost": {"ends": {COMPLETE: 3, LOST: 1}, "lost": ["cut"]},
            "not answered": {"unanswered": ["502"]},
            "exit code 70": {"exit_code": 70},
            "27.1 s": {"exit_seconds": 27.1},
            "2 processes": {"left_behind": 2},
        }
        for word, changes in bad.items():
            (fault,) = faults([dataclasses.replace(self.GOOD, **changes)], timeout=25)  # type: ignore[arg-type]
            assert word in fault
