"""One of vLLM's options, or one variable for the engine, with its reason."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from entrypoint.secrets import MASK, SECRET_OPTIONS

Origin = Literal["variable", "default", "accelerator", "ARG", "config"]
"""What set an option. ``config`` is the configuration file that ARG names."""


@dataclass(frozen=True, slots=True)
class PlannedOption:
    """One of vLLM's options, or one variable for the engine, and its reason.

    Attributes:
        option: ``--name``, or the name of the environment variable.
        value: As one string, masked if secret; None for a flag.
        origin: What set it.
        variable: The variable that set it, if one did.
        overrides: The setting that it won over, as ``NAME=value``, if any.
        file: The configuration file that set it, if one did.
    """

    option: str
    value: str | None
    origin: Origin
    variable: str | None
    overrides: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class RequestedOption:
    """An option that a variable or a default sets, unless ARG sets it.

    Attributes:
        option: ``--name``.
        words: Its value's words, none for a flag.
        origin: What sets it.
        variable: The user's variable that sets it, if one does.
    """

    option: str
    words: tuple[str, ...]
    origin: Origin
    variable: str | None = None

    @property
    def shown(self) -> str | None:
        """The value as one string for people, masked if secret."""
        return shown(self.option, self.words)

    def planned(self) -> PlannedOption:
        """Return the option for a plan."""
        return PlannedOption(self.option, self.shown, self.origin, self.variable)


def shown(option: str, words: tuple[str, ...]) -> str | None:
    """Return an option's words as one string for people, masked if they are secret."""
    if not words:
        return None
    return MASK if option in SECRET_OPTIONS else shlex.join(words)
