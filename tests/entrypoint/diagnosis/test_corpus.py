"""The logs of real failures are diagnosed correctly, and healthy logs show no failure.

``logs/index.toml`` states where each log comes from.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.shared.handover import Phase
from tests.support.failure_cases import CASES
from tests.support.failure_logs import LOGS, WHOLE, FailureLog, misdiagnosed, read_index

HEALTHY = sorted((LOGS / "healthy").glob("*.log"))
CORPUS = read_index(LOGS)
MIN_LOGS = 30
MIN_KINDS = 25
MIN_RIGHT = 0.95
WHOLE_CORPUS = read_index(WHOLE)
MIN_WHOLE = 120
EXIT_CODES = {failure.kind: failure.exit_code for failure in FAILURES}


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


def test_the_whole_logs_are_those_of_the_cases() -> None:
    kinds = {f"{case.name}.log.gz": case.kind for case in CASES}
    assert {log.file for log in WHOLE_CORPUS} == {path.name for path in WHOLE.glob("*.gz")}
    assert len(WHOLE_CORPUS) >= MIN_WHOLE
    assert {log.file: log.kind for log in WHOLE_CORPUS}.items() <= kinds.items()


def test_the_kinds_of_whole_logs_are_diagnosed_correctly() -> None:
    wrong = misdiagnosed(WHOLE_CORPUS)
    assert 1 - len(wrong) / len(WHOLE_CORPUS) >= MIN_RIGHT, wrong


def test_the_exit_code_is_that_of_the_kind_or_of_the_signal() -> None:
    for log in WHOLE_CORPUS:
        error = log.diagnosis()
        if error.code in EXIT_CODES:
            expected = EXIT_CODES[error.code] if log.code >= 0 else 128 - log.code
            assert error.exit_code == expected, log.file
