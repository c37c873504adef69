"""What the options of the installed vLLM are, read from a file that its own parser made.

``python -m server.catalogue`` writes ``catalogue.json``; a test compares it with the installed
vLLM. Reading it costs a few milliseconds, importing vLLM half a minute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from entrypoint.spelling import nearest

Kind = Literal["flag", "boolean", "value", "optional-value", "list", "append", "help"]
"""How many words an option takes: none, none with a ``--no-`` form, one, one or none, one or
more, one each time, or that it prints the help."""

ValueType = Literal[
    "int",
    "float",
    "str",
    "folded-str",
    "human-int",
    "human-int-or-auto",
    "json",
    "json-or-str",
    "lora",
]

CATALOGUE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class Option:
    """One option of ``vllm serve``.

    Attributes:
        name: The canonical long spelling, with dashes.
        spellings: Every exact spelling, ``--no-...`` and short ones too.
        group: The title it stands under in vLLM's help.
        kind: How many words it takes.
        type: What its words are; None where it takes none.
        choices: The values that it takes; empty if any.
        known: The values that vLLM knows by itself, where a plugin or machine may add others.
        keys: The keys of its JSON object; empty if any or if it takes none.
        nullable: Whether an empty word and ``None`` mean no value.
        default: The default, where it has a short form.
        help: The first sentence of vLLM's help.
    """

    name: str
    spellings: tuple[str, ...]
    group: str
    kind: Kind
    type: ValueType | None = None
    choices: tuple[str | int, ...] = ()
    known: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    nullable: bool = False
    default: Any = None
    help: str = ""

    @property
    def negation(self) -> str | None:
        """The ``--no-...`` spelling, where there is one."""
        return next((s for s in self.spellings if s.startswith("--no-")), None)

    @property
    def takes_keys(self) -> bool:
        """Whether ``--option.key value`` sets one key of it."""
        return self.type in ("json", "json-or-str", "lora")


@dataclass(frozen=True)
class Catalogue:
    """Every option of one vLLM release.

    Attributes:
        version: The release, as ``0.32.0``.
        options: The options, sorted by name.
    """

    version: str
    options: tuple[Option, ...]

    @cached_property
    def by_spelling(self) -> dict[str, Option]:
        """Every exact spelling and its option."""
        return {spelling: option for option in self.options for spelling in option.spellings}

    def spellings_of(self, written: str) -> tuple[str, ...]:
        """Return the exact spellings that a written one may stand for, as argparse reads it.

        An exact spelling stands for itself; any other for each spelling that begins with it.
        One result is an answer, several are an ambiguity. ``_`` counts as ``-`` after ``--``.
        """
        written = dashed(written)
        if written in self.by_spelling:
            return (written,)
        if not written.startswith("-") or written in ("-", "--"):
            return ()
        return tuple(spelling for spelling in self.by_spelling if spelling.startswith(written))

    def find(self, spelling: str) -> Option | None:
        """Return the option that a spelling names, or None for none or several.

        Args:
            spelling: With ``_`` or ``-``, short, abbreviated, ``--no-...``, or ``--option.key``.
        """
        found = self.spellings_of(spelling)
        if not found:
            found = self.spellings_of(spelling.split(".")[0])
            found = tuple(name for name in found if self.by_spelling[name].takes_keys)
        return self.by_spelling[found[0]] if len(found) == 1 else None

    def nearest(self, spelling: str) -> str | None:
        """Return the exact spelling most like a written one, or None."""
        return nearest(dashed(spelling), self.by_spelling)


def dashed(spelling: str) -> str:
    """Return an option's spelling with dashes for underscores, as vLLM reads it.

    Only a long spelling, and only before its first dot: JSON keys keep theirs.
    """
    if not spelling.startswith("--"):
        return spelling
    name, dot, keys = spelling.partition(".")
    return name.replace("_", "-") + dot + keys


def read_catalogue(text: str) -> Catalogue:
    """Return the catalogue that a JSON text describes."""
    data = json.loads(text)
    return Catalogue(data["vllm"], tuple(map(_option, data["options"])))


def _option(data: dict[str, Any]) -> Option:
    for field in ("spellings", "choices", "known", "keys"):
        if field in data:
            data[field] = tuple(data[field])
    data.setdefault("spellings", (data["name"],))
    return Option(**data)


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue of the vLLM that this release is built for."""
    return read_catalogue(CATALOGUE.read_text(encoding="utf-8"))
