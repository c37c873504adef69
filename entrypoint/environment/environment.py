"""The environment with clean values: it is read here, once, before anyone else reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from entrypoint.environment.home import home_directory
from entrypoint.environment.value import EDGES, Kind, clean_value
from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.shared.characters import corrected, unusual

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME_PREFIX = re.compile(r"(?:export|set|setenv|declare|ENV|env|-e|--env|-)\s+|\$(?:env:)?")
"""What an env file, a script or a Dockerfile writes before a variable's name."""


class Environment(Mapping[str, str]):
    """An environment with clean values.

    Args:
        raw: The environment of the process.
        kind_of: Returns the kind of a variable's value, None if nobody reads the variable.

    Attributes:
        changed: The values that differ from the process's environment, by name.
        notes: What was changed, and what is doubtful.
        problems: Values that cannot be used, by name.
    """

    def __init__(self, raw: Mapping[str, str], kind_of: Callable[[str], Kind | None]):
        self._values = dict(raw)
        self.changed: dict[str, str] = {}
        self.problems: dict[str, SettingError] = {}
        notes: list[Note] = []
        home = home_directory({"HOME": raw.get("HOME", "").strip(EDGES)})
        for name, value in raw.items():
            kind = kind_of(name)
            meant = _meant_name(name)
            if value and meant != name and kind_of(meant) is not None:
                self._refuse_name(name, meant, notes)
                continue
            if not value or kind is None:
                continue
            clean = clean_value(name, value, kind, home)
            notes += clean.notes
            if clean.problem is not None:
                self.problems[name] = clean.problem
            if clean.text != value:
                self.changed[name] = self._values[name] = clean.text
        self.notes = tuple(notes)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def check(self) -> None:
        """Check that every value can be used.

        Raises:
            SettingError: One cannot.
        """
        for problem in self.problems.values():
            raise problem

    def _refuse_name(self, name: str, meant: str, notes: list[Note]) -> None:
        found = next(unusual(name), None)
        why = f"contains {found}" if found else f"is not {meant}"
        message = f"The name of the variable {name!r} {why}, so nothing reads it."
        if self._values.get(meant):
            notes.append(Note("warning", name, f"{message} {meant} is set too, and applies."))
            return
        self.problems[name] = SettingError(
            message,
            variable=name,
            hint=f"Rename it to {meant}. In an env file, a line is {meant}=VALUE, without export, "
            "quotes or blanks, in UTF-8 without a byte order mark.",
        )


def _meant_name(name: str) -> str:
    """Return a variable's name without what an env file or a paste added to it."""
    if _NAME.fullmatch(name):
        return name
    plain = corrected(name, unusual(name)) or name
    plain = _NAME_PREFIX.sub("", plain.strip(EDGES + "\"'"), count=1)
    return plain.strip(EDGES + "\"':")
