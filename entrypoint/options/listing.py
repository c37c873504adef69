"""Shows vLLM's options to people and programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from entrypoint.options.catalogue import Catalogue, Option, dashed
from entrypoint.options.history import REMOVED, RemovedOption

WIDTH = 100
INDENT = " " * 6


def matching(catalogue: Catalogue, word: str | None = None) -> list[dict[str, Any]]:
    """Return the options whose name, spelling, group or help contains a word, as plain data.

    Args:
        catalogue: The options.
        word: With or without dashes, in any case. None or an empty word matches every option.
    """
    return [asdict(option) for option in catalogue.options if _matches(option, word)]


def describe(catalogue: Catalogue, word: str | None = None) -> str:
    """Return the options that match a word, as text. An exact match is shown with all its values.

    A removed option is shown with its replacement.
    """
    dashes = word is not None and word.startswith("-")
    exact = catalogue.find(word or "") if dashes else catalogue.by_spelling.get(f"--{word}")
    removed = [entry for entry in REMOVED.values() if word and _fold(word) in _fold(entry.spelling)]
    if exact is not None:
        return "\n".join(_lines(exact, complete=True))
    found = [option for option in catalogue.options if _matches(option, word)]
    lines = [*_listed(found), *_removed_lines(removed)]
    if not lines:
        near = catalogue.nearest(word or "")
        lines = [f"vLLM {catalogue.version} has no option that matches {word}."]
        lines += [f"Did you mean {near}?"] if near else []
    return "\n".join(lines)


def _fold(text: str) -> str:
    return dashed(text).casefold().lstrip("-").replace("_", "-")


def _matches(option: Option, word: str | None) -> bool:
    if not word:
        return True
    wanted = _fold(word)
    texts = (*option.spellings, option.group, option.help)
    return any(wanted in _fold(text) for text in texts)


def _listed(options: list[Option]) -> Iterator[str]:
    by_group = sorted(options, key=lambda option: (option.group != "General", option.group))
    for group, members in groupby(by_group, key=lambda option: option.group):
        yield f"{group}:"
        for option in members:
            yield from _lines(option)


def _lines(option: Option, complete: bool = False) -> Iterator[str]:
    short = [s for s in option.spellings if s != option.name]
    yield "  " + " ".join(filter(None, [", ".join([option.name, *short]), _placeholder(option)]))
    if option.help:
        yield from textwrap.wrap(
            option.help, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT
        )
    if option.default not in (None, "", False):
        yield f"{INDENT}default: {_shown(option.default)}"
    for title, values in (
        ("one of", option.choices),
        ("known", option.known if complete else ()),
        ("keys", option.keys if complete else ()),
    ):
        if values:
            text = f"{title}: {', '.join(map(str, values))}"
            yield from textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def _placeholder(option: Option) -> str:
    if option.type is None:
        return ""
    word = "JSON" if option.type == "json" else option.type.upper()
    match option.kind:
        case "list":
            return f"{word} ..."
        case "optional-value":
            return f"[{word}]"
        case _:
            return word


def _shown(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)


def _removed_lines(removed: list[RemovedOption]) -> Iterator[str]:
    if removed:
        yield "Removed:"
    for entry in removed:
        yield f"  {entry.spelling}"
        text = f"removed in vLLM {entry.since}: {entry.advice}."
        yield from textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
