"""Restores JSON whose quotes a shell, YAML or a word processor removed or changed."""

from __future__ import annotations

import json
import re

from entrypoint.shared.characters import DOUBLE_QUOTES, SINGLE_QUOTES

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<mark>[{}\[\]:,])
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | '(?P<single>(?:[^'\\]|\\.)*)'
      | (?P<bare>[^\s{}\[\]:,"'][^{}\[\]:,"']*)
    )\s*""",
    re.VERBOSE | re.DOTALL,
)
_LITERALS = {"true": "true", "false": "false", "null": "null", "none": "null"}
_PLAIN_QUOTES = str.maketrans(
    {**dict.fromkeys(DOUBLE_QUOTES, '"'), **dict.fromkeys(SINGLE_QUOTES, "'"), "\u00a0": " "}
)


def repaired(text: str) -> str | None:
    """Return the JSON object or list that a text was before it lost its quotes.

    None if there is none. Bare words become strings, except numbers, ``true``, ``false`` and
    ``null``.
    """
    for candidate in (text, text.replace("\\", "")):
        made = "".join(_json_tokens(candidate.translate(_PLAIN_QUOTES)))
        try:
            value = json.loads(made)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False)
    return None


def _json_tokens(text: str) -> list[str]:
    tokens = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            return []
        position = found.end()
        tokens.append(_json_token(found))
    return tokens


def _json_token(found: re.Match[str]) -> str:
    if (mark := found["mark"]) is not None:
        return mark
    if (bare := found["bare"]) is not None:
        return _bare(bare.strip())
    quoted = found["double"] if found["double"] is not None else found["single"]
    try:
        text = json.loads(f'"{quoted}"')
    except ValueError:
        text = quoted
    return json.dumps(text)


def _bare(word: str) -> str:
    if word.lower() in _LITERALS:
        return _LITERALS[word.lower()]
    try:
        json.loads(word)
    except ValueError:
        return json.dumps(word)
    return word
