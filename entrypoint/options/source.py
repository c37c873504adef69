"""Where an option was written: in ARG, in a line of a configuration file, or in a variable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import SettingError
from entrypoint.note import Level, Note


@dataclass(frozen=True, slots=True)
class OptionSource:
    """Where an option was written.

    Attributes:
        variable: The environment variable that leads to it.
        name: How messages name it: ``ARG``, or ``--config /etc/vllm.yaml, line 3``.
        file: The configuration file, if it was written in one.
    """

    variable: str
    name: str
    file: Path | None = None

    def owned(self, option: str) -> str:
        """Return an option with its source: ``ARG's --x``, or ``--x (--config f.yaml, line 3)``."""
        return f"{option} ({self.name})" if self.file else f"{self.name}'s {option}"

    def error(self, message: str, *, hint: str | None = None) -> SettingError:
        """Return the error for an option that was written here."""
        return SettingError(f"{self.name}: {message}", variable=self.variable, hint=hint)

    def note(self, level: Level, message: str) -> Note:
        """Return a note about an option that was written here."""
        return Note(level, self.variable, f"{self.name}: {message}")


ARG = OptionSource("ARG", "ARG")


def line_of(file: Path, line: int) -> OptionSource:
    """Return the source of an option in a line of the file that ``--config`` names."""
    return OptionSource(ARG.variable, f"--config {file}, line {line}", file)
