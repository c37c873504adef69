"""Logs that were collected without looking at the catalogue are diagnosed correctly.

``logs/held_out/index.toml`` states how each set was collected, and how many of its logs were
diagnosed correctly at first.
"""

from __future__ import annotations

import pytest

from entrypoint.diagnosis.catalogue import FAILURES
from tests.support.failure_logs import BLIND, HELD_OUT, LOGS, misdiagnosed, read_index

ALL = read_index(HELD_OUT)
MIN_LOGS = {"first": 40, "second": 20, "third": 40, "fourth": 25}
MIN_KINDS = 30
MIN_RIGHT = 0.95
MIN_BLIND = 128
MIN_BLIND_RIGHT = 0.9
UNKNOWN = "engine-failed"


def test_the_index_lists_every_log_with_a_known_kind() -> None:
    assert {log.file for log in ALL} == {
        str(path.relative_to(HELD_OUT)) for path in HELD_OUT.glob("*/*.log")
    }
    assert len({log.kind for log in ALL}) >= MIN_KINDS
    assert {log.kind for log in ALL} <= {failure.kind for failure in FAILURES} | {UNKNOWN}


def test_no_log_comes_from_a_source_of_the_corpus() -> None:
    used = {word.strip(".,;()") for log in read_index(LOGS) for word in log.source.split()}
    assert not {log.source for log in ALL} & used


@pytest.mark.parametrize("name", list(MIN_LOGS))
def test_the_kinds_of_a_set_are_diagnosed_correctly(name: str) -> None:
    logs = [log for log in ALL if log.file.startswith(f"{name}/")]
    assert len(logs) >= MIN_LOGS[name]
    wrong = misdiagnosed(logs)
    assert 1 - len(wrong) / len(logs) >= MIN_RIGHT, wrong


def test_the_kinds_of_causes_that_were_chosen_blindly_are_diagnosed_correctly() -> None:
    """Some causes leave no trace in the log, such as a signal to a process other than the main."""
    logs = read_index(BLIND)
    assert {log.file for log in logs} == {path.name for path in BLIND.glob("*.gz")}
    assert len(logs) >= MIN_BLIND
    wrong = misdiagnosed(logs)
    assert 1 - len(wrong) / len(logs) >= MIN_BLIND_RIGHT, wrong
