"""Unusual characters in ARG, where quoted texts may have any characters."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from entrypoint.shared.characters import DASHES, LONG_DASHES, QUOTES, Unusual, unusual

_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'", re.DOTALL)
_TEMPLATE = re.compile(r"\s*\{[{%#]")
_OPTION = re.compile(rf"(?<!\S)([-{''.join(DASHES)}]+)([^\s=]*)")
"""An option's name with its dashes, whatever kind of dashes."""


def unquoted(text: str) -> str:
    """Return ARG without quotes around all of it, which ``docker run --env-file`` keeps.

    Quotes around one word stay: ``"--served-model-name=my model"``.
    """
    plain = text.strip()
    if len(plain) < 2 or plain[0] != plain[-1] or plain[0] not in "\"'":
        return text
    try:
        words = shlex.split(plain)
    except ValueError:
        words = [plain[1:-1]]
    option, _, value = words[0].partition("=") if words else ("", "", "")
    if len(words) != 1 or not (re.search(r"\s", option) or re.search(r"\s--?[a-zA-Z]", value)):
        return text
    return plain[1:-1].strip()


def unusual_in_arg(text: str) -> Iterator[Unusual]:
    """Yield the characters of ARG that cannot be meant.

    Quoted texts may be in any language, such as a chat template, but JSON must be JSON. Elsewhere
    the names of options are ASCII, and quotes are ASCII quotes.
    """
    quoted = [(*match.span(), _is_free(match[0][1:-1])) for match in _QUOTED.finditer(text)]
    options = [
        match
        for match in _OPTION.finditer(text)
        if not any(start <= match.start() < end for start, end, _ in quoted)
    ]
    for each in unusual(text):
        if each.text in "\t\r\n":
            continue
        at = each.position
        option = next((m for m in options if m.start() <= at < m.end()), None)
        if option is not None and each.text in LONG_DASHES and _stands_for_two(option):
            yield replace(each, meant="--")
        elif any(free and start <= at < end for start, end, free in quoted):
            if not each.visible and each.meant == "":
                yield each
        elif (option is not None or each.text not in DASHES) and not _is_apostrophe(text, at):
            yield each


def _is_free(text: str) -> bool:
    """Whether a quoted text is anything but broken JSON."""
    if not text.lstrip().startswith(("{", "[")) or _TEMPLATE.match(text):
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _stands_for_two(option: re.Match[str]) -> bool:
    """Whether a single long dash stands for the two dashes of an option: not ``-O3``."""
    return len(option[1]) == 1 and len(option[2]) > 1 and not option[2][0].isdigit()


def _is_apostrophe(text: str, at: int) -> bool:
    around = (text[at - 1 : at], text[at + 1 : at + 2])
    return text[at] in QUOTES and all(each.isalpha() for each in around)
