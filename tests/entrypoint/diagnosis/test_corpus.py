"""The logs of real failures are diagnosed correctly, and healthy logs show no failure.

``logs/index.toml`` states where each log comes from.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.shared.handover import Phase
from tests.support.failure_logs import LOGS, FailureLog, misdiagnosed, read_index

HEALTHY = sorted((LOGS / "healthy").glob("*.log"))
CORPUS = read_index(LOGS)
MIN_LOGS = 30
MIN_KINDS = 25
MIN_RIGHT = 0.95


def test_the_index_lists_every_log_with_a_known_kind_and_a_source() -> None:
    failed = {str(path.relative_to(LOGS)) for path in LOGS.glob("*/*.log")}
    assert {log.file for log in CORPUS} == failed - {f"healthy/{path.name}" for path in HEALTHY}
    assert len(CORPUS) >= MIN_LOGS
    assert len({log.kind for log in CORPUS}) >= MIN_KINDS
    assert {log.kind for log in CORPUS} <= {failure.kind for failure in FAILURES}
    assert all(log.source for log in CORPUS)


def test_the_kinds_are_diagnosed_correctly() -> None:
    wrong = misdiagnosed(CORPUS)
    assert 1 - len(wrong) / len(CORPUS) >= MIN_RIGHT, wrong


@pytest.mark.parametrize("log", CORPUS, ids=lambda log: log.file)
def test_the_message_and_the_hint_are_complete_sentences(log: FailureLog) -> None:
    error = log.diagnosis()
    for words in (error.message, str(error.hint)):
        assert words
        assert not words.endswith(".."), words
    assert error.message.startswith("The engine ")


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.name)
def test_a_healthy_log_shows_no_known_failure(path: Path) -> None:
    error = diagnose(path.read_text().splitlines(), EngineExit(1, Phase.READY))
    assert error.code == "engine-failed", error.message
