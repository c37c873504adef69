"""An accelerator's defaults, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from entrypoint.note import Note


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an accelerator needs of vLLM. A variable or an option in ARG wins over it.

    Attributes:
        options: vLLM's options by ``--name``; None for a flag.
        environment: Environment variables for the engine.
        notes: What the user should know about them.
    """

    options: Mapping[str, str | None] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
