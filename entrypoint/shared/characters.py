"""Characters that are invisible, or look like an ASCII character: pasting leaves them in values.

A value from a chat, a PDF, a word processor or Windows can contain a byte order mark, a
non-breaking space, a zero-width space, typographic quotes and dashes, or full-width letters. They
make a value wrong, and nobody sees why. :func:`unusual` finds them, :func:`corrected` replaces
them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DOUBLE_QUOTES = frozenset("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\uff02")
SINGLE_QUOTES = frozenset("\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\uff07\u00b4")
QUOTES = DOUBLE_QUOTES | SINGLE_QUOTES
LONG_DASHES = frozenset("\u2013\u2014\u2015")
"""The dashes that word processors put in place of ``--``."""
DASHES = LONG_DASHES | frozenset("\u2010\u2011\u2012\u2212\ufe58\ufe63\uff0d")

_FILLERS = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0")
_JOINERS = frozenset("\u200c\u200d")
"""Part of words in Persian and in the scripts of India, and of emoji."""
_BLANKS = frozenset("\u0085\u2028\u2029\u2800")
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
"""A terminal's escape sequence, such as a color."""
_NAMES = {
    "\t": "TAB",
    "\n": "LINE FEED",
    "\r": "CARRIAGE RETURN",
    "\x1b": "ESCAPE",
    "\x7f": "DELETE",
    "\x85": "NEXT LINE",
    "\ufeff": "BYTE ORDER MARK",
}


@dataclass(frozen=True, slots=True)
class Unusual:
    """An unusual character in a text.

    Attributes:
        position: Its index.
        text: The character; an escape sequence is one.
        meant: What to write instead, None if unknown.
        visible: Whether the character can be seen: a quote, a dash, a letter.
    """

    position: int
    text: str
    meant: str | None
    visible: bool

    def __str__(self) -> str:
        return f"{character_name(self.text[0])} at character {self.position + 1}"


def character_name(character: str) -> str:
    """Return a character's Unicode name and number, such as ``NO-BREAK SPACE (U+00A0)``."""
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python represents a byte that it cannot decode
        return f"byte 0x{number - 0xDC00:02X}, which is not UTF-8,"
    name = _NAMES.get(character) or unicodedata.name(character, "CONTROL CHARACTER")
    return f"{name} (U+{number:04X})"


def unusual(text: str, *, ascii_only: bool = False) -> Iterator[Unusual]:
    """Yield the unusual characters of a text, in order.

    Letters of other scripts, and what belongs between two of them, are not unusual.

    Args:
        text: The text.
        ascii_only: Whether every character outside ASCII is unusual.
    """
    skipped = 0
    for position, character in enumerate(text):
        if position < skipped or " " <= character <= "~":
            continue
        if escape := _ESCAPE.match(text, position):
            skipped = escape.end()
            yield Unusual(position, escape[0], "", False)
            continue
        meant, visible = _meant(character)
        if meant == character:
            if ascii_only:
                yield Unusual(position, character, None, True)
        elif ascii_only or not _belongs(text, position):
            yield Unusual(position, character, meant, visible)


def corrected(text: str, found: Iterable[Unusual]) -> str | None:
    """Return the text with each of these characters replaced, None if one has no replacement."""
    parts, end = [], 0
    for each in found:
        if each.meant is None:
            return None
        parts += [text[end : each.position], each.meant]
        end = each.position + len(each.text)
    return "".join((*parts, text[end:]))


def _meant(character: str) -> tuple[str | None, bool]:
    """Return what a character outside printable ASCII was meant to be, and whether it shows.

    A letter of another script is meant as it is. A byte that is not UTF-8 may be anything.
    """
    category = unicodedata.category(character)
    if category == "Cs":
        return None, False
    if character in _BLANKS or category == "Zs":
        return " ", False
    if category in ("Cc", "Cf", "Co") or character in _FILLERS or _selects_variant(character):
        return "", False
    if character in QUOTES:
        return '"' if character in DOUBLE_QUOTES else "'", True
    if character in DASHES:
        return "-", True
    if "\uff01" <= character <= "\uff5e":  # full-width forms
        return unicodedata.normalize("NFKC", character), True
    if category == "Nd":
        return str(unicodedata.digit(character)), True
    return character, True


def _selects_variant(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _belongs(text: str, position: int) -> bool:
    """Whether a character that is unusual elsewhere stands within a word of another script."""
    character = text[position]
    before, after = text[position - 1 : position], text[position + 1 : position + 2]
    if _selects_variant(character):
        return _is_of_other_script(before)
    return (
        character in _JOINERS
        or unicodedata.category(character) in ("Zs", "Nd")
        or "\uff01" <= character <= "\uff5e"
    ) and (_is_of_other_script(before) and _is_of_other_script(after))


def _is_of_other_script(character: str) -> bool:
    return character > "\u02ff" and _meant(character)[0] == character
