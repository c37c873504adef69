"""The options of vLLM, read from a file that was generated from its parser.

``python -m server.catalogue`` writes ``catalogue.json``, and a test compares it with the installed
vLLM. Reading it takes milliseconds; importing vLLM takes half a minute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from entrypoint.spelling import nearest

Arity = Literal["flag", "boolean", "value", "optional-value", "list", "append", "help"]
"""How many words an option takes. ``flag``: none. ``boolean``: none, with a ``--no-`` form.
``append``: one, and it may repeat. ``help``: it prints the help."""

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
        group: Its heading in vLLM's help.
        kind: How many words it takes.
        type: The type of its words; None if it takes none.
        choices: The accepted values; empty if any value is.
        known: The values that vLLM has without a plugin.
        keys: The keys of its JSON object; empty if any key is accepted.
        nullable: Whether an empty word and ``None`` mean no value.
        default: The default, if it is short.
        help: The first sentence of vLLM's help.
    """

    name: str
    spellings: tuple[str, ...]
    group: str
    kind: Arity
    type: ValueType | None = None
    choices: tuple[str | int, ...] = ()
    known: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    nullable: bool = False
    default: Any = None
    help: str = ""

    @property
    def negation(self) -> str | None:
        """The ``--no-...`` spelling, if it has one."""
        return next((s for s in self.spellings if s.startswith("--no-")), None)

    @property
    def takes_keys(self) -> bool:
        """Whether ``--option.key value`` sets one of its keys."""
        return self.type in ("json", "json-or-str", "lora")


@dataclass(frozen=True)
class Catalogue:
    """Every option of one vLLM release.

    Attributes:
        version: The release: ``0.32.0``.
        options: The options, sorted by name.
        removed_architectures: Model architectures that it no longer has, and the last release that
            had each.
        variables: The names of the environment variables that are its own.
    """

    version: str
    options: tuple[Option, ...]
    removed_architectures: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()

    @cached_property
    def by_spelling(self) -> dict[str, Option]:
        """Every exact spelling and its option."""
        return {spelling: option for option in self.options for spelling in option.spellings}

    def spellings_of(self, written: str) -> tuple[str, ...]:
        """Return the exact spellings that a name may stand for, by argparse's rules.

        An exact spelling stands for itself, any other name for each spelling that starts with it.
        Several results mean that the name is ambiguous. ``_`` counts as ``-`` after ``--``.
        """
        written = dashed(written)
        if written in self.by_spelling:
            return (written,)
        if not written.startswith("-") or written in ("-", "--"):
            return ()
        return tuple(spelling for spelling in self.by_spelling if spelling.startswith(written))

    def find(self, spelling: str) -> Option | None:
        """Return the option with this name, None if none or several match.

        Args:
            spelling: With ``_`` or ``-``, short, abbreviated, ``--no-...`` or ``--option.key``.
        """
        found = self.spellings_of(spelling)
        if not found:
            found = self.spellings_of(spelling.split(".")[0])
            found = tuple(name for name in found if self.by_spelling[name].takes_keys)
        return self.by_spelling[found[0]] if len(found) == 1 else None

    def nearest(self, spelling: str) -> str | None:
        """Return the most similar exact spelling, None if none is similar."""
        return nearest(dashed(spelling), self.by_spelling)


def dashed(spelling: str) -> str:
    """Return an option's spelling with dashes instead of underscores, as vLLM reads it.

    Only in long spellings, and only before the first dot: JSON keys keep their underscores.
    """
    if not spelling.startswith("--"):
        return spelling
    name, dot, keys = spelling.partition(".")
    return name.replace("_", "-") + dot + keys


def read_catalogue(text: str) -> Catalogue:
    """Return the catalogue in a JSON text."""
    data = json.loads(text)
    options = tuple(map(_option, data["options"]))
    variables = tuple(data["variables"])
    return Catalogue(data["vllm"], options, data["removed_architectures"], variables)


def _option(data: dict[str, Any]) -> Option:
    for name in ("spellings", "choices", "known", "keys"):
        if name in data:
            data[name] = tuple(data[name])
    data.setdefault("spellings", (data["name"],))
    return Option(**data)


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue of the vLLM version that this release supports."""
    return read_catalogue(CATALOGUE.read_text(encoding="utf-8"))
