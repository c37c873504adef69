"""Real logs of failed engines are named right, and nothing is named where there is nothing.

Where each log comes from is in ``logs/index.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.diagnosis.catalogue import FAILURES
from entrypoint.errors import EngineFailed
from entrypoint.shared.handover import Phase

LOGS = Path(__file__).parent / "logs"
HEALTHY = sorted((LOGS / "healthy").glob("*.log"))
LEAST_LOGS = 30
LEAST_KINDS = 25
LEAST_RIGHT = 0.95


@dataclass(frozen=True)
class Log:
    """One real log, and what it shows."""

    file: str
    kind: str
    source: str
    code: int = 1

    def diagnosis(self) -> EngineFailed:
        lines = (LOGS / self.file).read_text().splitlines()
        return diagnose(lines, EngineExit(self.code, Phase.WEIGHTS))


CORPUS = [Log(**entry) for entry in tomllib.loads((LOGS / "index.toml").read_text())["log"]]


def test_the_corpus_is_whole() -> None:
    failed = {str(path.relative_to(LOGS)) for path in LOGS.glob("*/*.log")}
    assert {log.file for log in CORPUS} == failed - {f"healthy/{path.name}" for path in HEALTHY}
    assert len(CORPUS) >= LEAST_LOGS
    assert len({log.kind for log in CORPUS}) >= LEAST_KINDS
    assert {log.kind for log in CORPUS} <= {failure.kind for failure in FAILURES}
    assert all(log.source for log in CORPUS)


def test_the_causes_are_named_right() -> None:
    named = {log: log.diagnosis().code for log in CORPUS}
    wrong = [
        f"{log.file}: {log.kind}, named {code}" for log, code in named.items() if code != log.kind
    ]
    share = 1 - len(wrong) / len(CORPUS)
    print(f"named right: {share:.1%} of {len(CORPUS)} logs of {len(set(named.values()))} kinds")
    print(*wrong, sep="\n")
    assert share >= LEAST_RIGHT, wrong


@pytest.mark.parametrize("log", CORPUS, ids=lambda log: log.file)
def test_the_words_are_whole(log: Log) -> None:
    error = log.diagnosis()
    for words in (error.message, str(error.hint)):
        assert words
        assert not words.endswith(".."), words
    assert error.message.startswith("The engine ")


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.name)
def test_nothing_is_named_where_nothing_failed(path: Path) -> None:
    error = diagnose(path.read_text().splitlines(), EngineExit(1, Phase.READY))
    assert error.code == "engine-failed", error.message
