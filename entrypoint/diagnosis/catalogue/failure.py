"""One kind of failure: how it shows, why it is, what mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

SPAN = r"[^\n]{0,400}?"
"""What may stand between two words of a pattern: bounded, so that each search stays quick."""


def innermost(pattern: str) -> str:
    """Return the pattern of a traceback whose innermost frame is in such a file or function.

    Args:
        pattern: Found in the frame's first line, which names both.
    """
    return pattern + r"[^\n]{0,300}\n[^\n]*(?:\n[\s^~]*)?\Z"


class ExitCode:
    """The exit codes of the kinds: see docs/exit-codes.md."""

    ARTIFACT = 65
    MODEL = 66
    HUB = 69
    ENGINE = 70
    MACHINE = 71
    STORAGE = 74
    SETTING = 78


class Weight(StrEnum):
    """How much a kind says when another one matches as well."""

    CAUSE = "cause"
    """It names what has to be mended."""
    SYMPTOM = "symptom"
    """It mostly follows from another failure, which counts if it shows."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a kind of failure shows in the output. Case does not count.

    Attributes:
        pattern: Found in an exception as Python prints it, or in an error's line. Its named groups
            are facts for the wording.
        within: Found in the exception's traceback too, where the words alone say too little.
        cause: The kind's wording, if with these facts there is a better one.
        repair: The kind's repair, if with these facts there is a better one.
    """

    pattern: str
    within: str | None = None
    cause: str | None = None
    repair: str | None = None

    def facts(self, text: str, frames: str) -> dict[str, str] | None:
        """Return the facts that the words of an exception hold, None where this is not shown.

        Args:
            text: The exception as Python prints it, or an error's line.
            frames: The traceback, empty where there is none.
        """
        found = compiled(self.pattern).search(text)
        if found is None or (self.within and not compiled(self.within).search(frames)):
            return None
        return found.groupdict("")


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure.

    Attributes:
        kind: Its name, in kebab-case: ``error.code`` of the outcome.
        exit_code: What the launch ends with.
        shown: How it shows, for the documentation.
        cause: What happened, as a clause; facts of the sign that was found stand in braces.
        repair: What mends it, as sentences.
        signs: What it shows in the output; any one is enough.
        weight: What it counts for beside another kind.
    """

    kind: str
    exit_code: int
    shown: str
    cause: str
    repair: str
    signs: tuple[Sign, ...] = field(default=())
    weight: Weight = Weight.CAUSE


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern compiled, when it is first needed: a launch that goes well never does."""
    return re.compile(pattern, re.IGNORECASE)
