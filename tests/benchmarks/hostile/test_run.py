"""The answers that count as faults, and the exceptions in a log."""

from __future__ import annotations

from benchmarks.hostile.attack import Attack, Outcome
from benchmarks.hostile.run import judge, unhandled
from tests.support.launch import DEMO


def outcome(*statuses: int, end: str = "closed", answer: bytes = b"") -> Outcome:
    return Outcome(statuses, end, answer)


class TestJudge:
    ATTACK = Attack("a", b"")
    NO_KEY = Attack("a", b"", keyed=False)
    MODELS = b'HTTP/1.1 200 OK\r\n\r\n{"id": "' + DEMO.encode() + b'"}'

    def test_refusals_and_closed_connections_are_right(self) -> None:
        for right in (
            outcome(400),
            outcome(501),
            outcome(505),
            outcome(200),
            outcome(end="reset"),
            outcome(end="left"),
        ):
            assert judge(self.ATTACK, right) is None
        assert judge(self.ATTACK, outcome(200, answer=self.MODELS)) is None
        assert judge(self.NO_KEY, outcome(401)) is None

    def test_server_errors_and_missing_answers_are_wrong(self) -> None:
        assert judge(self.ATTACK, outcome(400, 500)) == "500"
        engines = b'{"error":{"message":"Internal server error","type":"server_error"}}'
        assert judge(self.ATTACK, outcome(500, answer=engines)) is None
        assert judge(self.ATTACK, outcome(503, answer=engines)) == "503"
        others = b'{"error":{"message":"name x is not defined","type":"server_error"}}'
        assert judge(self.ATTACK, outcome(500, answer=others)) == "500"
        assert judge(self.ATTACK, outcome(end="hung")) == "no answer"
        assert judge(self.ATTACK, outcome(end="refused")) == "connection refused"
        assert judge(self.NO_KEY, outcome(200, answer=self.MODELS)) == "answered without the key"


def test_unhandled_exceptions_are_found_in_the_log() -> None:
    log = """\
(APIServer pid=7) INFO 11-21 07:07:08 [gate.py:291] POST /a 500 in 0.026 s
(APIServer pid=7) ERROR:    Exception in ASGI application
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7)   File "a.py", line 1, in a
(APIServer pid=7) ValueError: first
(APIServer pid=7)
(APIServer pid=7) During handling of the above exception, another exception occurred:
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7) json.decoder.JSONDecodeError: last
(APIServer pid=7) INFO:     connection closed
(APIServer pid=7) ValueError: one that was handled
(APIServer pid=7) ERROR:    Exception in ASGI application
(APIServer pid=7) RuntimeError: second"""
    assert unhandled(log) == {"json.decoder.JSONDecodeError: last": 1, "RuntimeError: second": 1}
    assert not unhandled("INFO: nothing")
