"""Logs of failed engines, and what made them fail."""

from __future__ import annotations

import gzip
import tomllib
from dataclasses import dataclass
from pathlib import Path

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.diagnosis.catalogue import Failure
from entrypoint.errors import EngineFailed
from entrypoint.shared.handover import Phase

LOGS = Path(__file__).parents[1] / "entrypoint/diagnosis/logs"
HELD_OUT = LOGS / "held_out"
WHOLE = LOGS / "whole"
"""Complete logs of the real engine; tests.support.failure_producer writes them."""
BLIND = LOGS / "blind"
"""Complete logs whose causes were chosen without knowing the rules."""


@dataclass(frozen=True)
class FailureLog:
    """A log, its kind of failure, and where it comes from.

    Attributes:
        folder: The folder of its index.
        file: Its path in that folder.
        kind: The kind of failure that it shows; several, separated by ``|``, if each is right.
        source: Where it comes from.
        code: The exit code of the engine's main process.
    """

    folder: Path
    file: str
    kind: str
    source: str
    code: int = 1

    def diagnosis(self) -> EngineFailed:
        path = self.folder / self.file
        read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        # only line feeds end a line, as in the engine's output
        lines = read.decode(errors="replace").split("\n")
        return diagnose(lines, EngineExit(self.code, Phase.WEIGHTS))


def read_index(folder: Path) -> list[FailureLog]:
    """Return the logs that a folder's ``index.toml`` lists."""
    entries = tomllib.loads((folder / "index.toml").read_text())["log"]
    return [FailureLog(folder, **entry) for entry in entries]


def misdiagnosed(logs: list[FailureLog]) -> list[str]:
    """Return the logs whose kind the diagnosis misses, and print their share."""
    named = {log: log.diagnosis().code for log in logs}
    wrong = [
        f"{log.file}: {log.kind}, named {code}"
        for log, code in named.items()
        if code not in log.kind.split("|")
    ]
    print(f"named right: {1 - len(wrong) / len(logs):.1%} of {len(logs)} logs", *wrong, sep="\n")
    return wrong


def explain(failures: tuple[Failure, ...], text: str, frames: str = "") -> tuple[str, str]:
    """Return the kind and the cause of the first failure that matches a text, empty if none does.

    Args:
        failures: Where to look.
        text: An exception as Python prints it, or an error line.
        frames: The exception's traceback.
    """
    for failure in failures:
        for rule in failure.rules:
            groups = rule.match(text, frames)
            if groups is not None:
                return failure.kind, (rule.cause or failure.cause).format(**groups)
    return "", ""
