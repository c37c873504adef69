"""Something that the user should know, but that does not stop the launch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warning"]


@dataclass(frozen=True, slots=True)
class Note:
    """A note, and the variable that it is about, if any."""

    level: Level
    variable: str | None
    message: str
