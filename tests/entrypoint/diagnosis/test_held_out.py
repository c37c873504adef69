"""The catalogue names the causes of logs that were collected without a look at it.

How each set was collected is in ``logs/held_out/index.toml``, with what was named right of it at
the first run.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.shared.handover import Phase

LOGS = Path(__file__).parent / "logs"
HELD_OUT = LOGS / "held_out"
LEAST_LOGS = {"first": 40, "second": 20, "third": 40, "fourth": 25}
LEAST_KINDS = 30
LEAST_RIGHT = 0.95
UNKNOWN = "engine-failed"


@dataclass(frozen=True)
class Log:
    """One log of a public thread, and what the thread found out."""

    file: str
    kind: str
    source: str
    code: int = 1

    @property
    def set(self) -> str:
        """The set that it belongs to."""
        return self.file.partition("/")[0]

    def named(self) -> str:
        lines = (HELD_OUT / self.file).read_text().splitlines()
        return diagnose(lines, EngineExit(self.code, Phase.WEIGHTS)).code


ALL = [Log(**entry) for entry in tomllib.loads((HELD_OUT / "index.toml").read_text())["log"]]


def test_the_sets_are_whole() -> None:
    assert {log.file for log in ALL} == {
        str(path.relative_to(HELD_OUT)) for path in HELD_OUT.glob("*/*.log")
    }
    assert len({log.kind for log in ALL}) >= LEAST_KINDS
    assert {log.kind for log in ALL} <= {failure.kind for failure in FAILURES} | {UNKNOWN}


def test_no_log_of_the_corpus_is_held_out() -> None:
    corpus = tomllib.loads((LOGS / "index.toml").read_text())["log"]
    used = {word.strip(".,;()") for entry in corpus for word in entry["source"].split()}
    assert not {log.source for log in ALL} & used


@pytest.mark.parametrize("name", list(LEAST_LOGS))
def test_the_causes_are_named_right(name: str) -> None:
    logs = [log for log in ALL if log.set == name]
    assert len(logs) >= LEAST_LOGS[name]
    wrong = [
        f"{log.file}: {log.kind}, named {named}"
        for log in logs
        if (named := log.named()) != log.kind
    ]
    share = 1 - len(wrong) / len(logs)
    print(f"named right: {share:.1%} of {len(logs)} logs")
    print(*wrong, sep="\n")
    assert share >= LEAST_RIGHT, wrong
