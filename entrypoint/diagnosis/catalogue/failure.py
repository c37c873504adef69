"""One kind of failure: how to recognize it, what happened, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

SPAN = r"[^\n]{0,400}?"
"""What may stand between two words of a pattern. It is bounded, so that each search is quick."""


def innermost(pattern: str) -> str:
    """Return a pattern that matches a traceback whose innermost frame matches ``pattern``.

    Args:
        pattern: Matched with the first line of the frame, which has the file and the function.
    """
    return rf"(?:{pattern})" + r"[^\n]{0,300}\n[^\n]*(?:\n[\s^~]*)?\Z"


class ExitCode:
    """The exit codes of the kinds; docs/exit-codes.md explains them."""

    ARTIFACT = 65
    MODEL = 66
    HUB = 69
    ENGINE = 70
    MACHINE = 71
    STORAGE = 74
    SETTING = 78


class Role(StrEnum):
    """Whether a kind explains a failure when another kind matches as well."""

    CAUSE = "cause"
    """It is what has to be fixed."""
    SYMPTOM = "symptom"
    """Another failure usually causes it. If the output shows that one, that one counts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How to recognize a kind of failure. Patterns ignore case.

    Attributes:
        pattern: Matches an exception as Python prints it, or an error line. Its named groups can
            be used in the texts.
        within: Must also match the exception's traceback, if the pattern alone is ambiguous.
        cause: Replaces the kind's text, if the groups allow a better one.
        hint: Replaces the kind's hint, if the groups allow a better one.
        is_cause: Whether it shows a cause although the kind is a symptom.
    """

    pattern: str
    within: str | None = None
    cause: str | None = None
    hint: str | None = None
    is_cause: bool = False

    def match(self, text: str, frames: str) -> dict[str, str] | None:
        """Return the pattern's named groups, None if the rule does not match.

        Args:
            text: The exception as Python prints it, or an error line.
            frames: The traceback, empty if there is none.
        """
        found = compiled(self.pattern).search(text)
        if found is None or (self.within and not compiled(self.within).search(frames)):
            return None
        return found.groupdict("")


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure.

    Attributes:
        kind: Its name in kebab-case, ``error.code`` of the outcome.
        exit_code: The launch's exit code.
        summary: What the user sees, as a sentence for the documentation.
        cause: What happened, as a clause for the error message. A rule's groups stand in braces.
        hint: What to do about it, as sentences.
        rules: How to recognize it. One that matches is enough.
        role: Whether it is a cause or a symptom.
    """

    kind: str
    exit_code: int
    summary: str
    cause: str
    hint: str
    rules: tuple[Rule, ...] = field(default=())
    role: Role = Role.CAUSE


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern. Patterns are compiled on first use, which most launches skip."""
    return re.compile(pattern, re.IGNORECASE)
