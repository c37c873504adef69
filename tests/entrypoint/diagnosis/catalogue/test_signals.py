"""Signals that kill a process: their kinds, and the last words that show them."""

import signal

import pytest

from entrypoint.diagnosis.catalogue.failure import Role
from entrypoint.diagnosis.catalogue.signals import FAILURES, OTHER_SIGNAL, failure_of_signal
from tests.support.failure_logs import explain


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Fatal Python error: Segmentation fault", signal.SIGSEGV),
        ("Bus error (core dumped)", signal.SIGBUS),
        ("Fatal Python error: Illegal instruction", signal.SIGILL),
        ("Fatal Python error: Aborted", signal.SIGABRT),
    ],
)
def test_the_last_words_lead_to_the_same_kind_as_the_signal(text: str, number: int) -> None:
    assert explain(FAILURES, text)[0] == failure_of_signal(number).kind


def test_an_uncaught_exception_of_native_code_is_named() -> None:
    _, cause = explain(FAILURES, "terminate called after throwing an instance of 'c10::Error'")
    assert cause == "native code aborted because of an uncaught exception (c10::Error)"


def test_last_words_are_a_symptom_because_an_exception_explains_more() -> None:
    assert all(failure.role is Role.SYMPTOM for failure in FAILURES if failure.rules)


def test_any_other_signal_has_one_kind() -> None:
    assert failure_of_signal(signal.SIGHUP) is OTHER_SIGNAL
    assert OTHER_SIGNAL in FAILURES
