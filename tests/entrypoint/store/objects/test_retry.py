"""Retries: how often, how long the pauses are, and what is raised in the end."""

from __future__ import annotations

import pytest

from entrypoint.errors import StoreError
from entrypoint.store.objects import retry
from entrypoint.store.objects.retry import Transient, retrying


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds slept so far."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


class Store:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int):
        self.failures = failures
        self.asked = 0

    def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise Transient(StoreError(f"no answer {self.asked}"), "timed out")
        return "content"


def test_an_answer_is_returned_at_once(pauses: list[float]) -> None:
    assert retrying("part 1", Store(0).ask) == "content"
    assert pauses == []


def test_each_pause_is_twice_the_last_one(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    assert retrying("part 1", Store(3).ask) == "content"
    first = retry.FIRST_PAUSE
    assert pauses == [first, first * 2, first * 4]
    assert next(record.getMessage() for record in caplog.records) == (
        f"part 1: timed out; attempt 2 of {retry.ATTEMPTS} in {first:.1f} s"
    )


def test_the_last_error_is_raised(pauses: list[float]) -> None:
    store = Store(100)
    with pytest.raises(StoreError, match=f"no answer {retry.ATTEMPTS}"):
        retrying("part 1", store.ask)
    assert store.asked == retry.ATTEMPTS
    assert len(pauses) == retry.ATTEMPTS - 1


def test_other_errors_are_not_retried(pauses: list[float]) -> None:
    def refuse() -> None:
        raise StoreError("access denied")

    with pytest.raises(StoreError, match="access denied"):
        retrying("part 1", refuse)
    assert pauses == []
