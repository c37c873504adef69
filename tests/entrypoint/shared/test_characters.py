"""Unusual characters: which are found, how they are named, and what they become."""

import pytest

from entrypoint.shared.characters import character_name, corrected, unusual


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("\ufeffab", "BYTE ORDER MARK (U+FEFF) at character 1", "ab"),
        ("a\u00a0b", "NO-BREAK SPACE (U+00A0) at character 2", "a b"),
        ("a\u202fb", "NARROW NO-BREAK SPACE (U+202F) at character 2", "a b"),
        ("ab\u2028", "LINE SEPARATOR (U+2028) at character 3", "ab "),
        ("a\u200bb", "ZERO WIDTH SPACE (U+200B) at character 2", "ab"),
        ("a\u2060b", "WORD JOINER (U+2060) at character 2", "ab"),
        ("a\u00adb", "SOFT HYPHEN (U+00AD) at character 2", "ab"),
        ("\u202eab", "RIGHT-TO-LEFT OVERRIDE (U+202E) at character 1", "ab"),
        ("\u2066ab\u2069", "LEFT-TO-RIGHT ISOLATE (U+2066) at character 1", "ab"),
        ("ab\ufe0f", "VARIATION SELECTOR-16 (U+FE0F) at character 3", "ab"),
        ("a\u3164b", "HANGUL FILLER (U+3164) at character 2", "ab"),
        ("a\U000e0041b", "TAG LATIN CAPITAL LETTER A (U+E0041) at character 2", "ab"),
        ("\u201cab\u201d", "LEFT DOUBLE QUOTATION MARK (U+201C) at character 1", '"ab"'),
        ("\u201eab\u201c", "DOUBLE LOW-9 QUOTATION MARK (U+201E) at character 1", '"ab"'),
        ("\u2018ab\u2019", "LEFT SINGLE QUOTATION MARK (U+2018) at character 1", "'ab'"),
        ("a\u2013b", "EN DASH (U+2013) at character 2", "a-b"),
        ("a\u2011b", "NON-BREAKING HYPHEN (U+2011) at character 2", "a-b"),
        ("\u22121", "MINUS SIGN (U+2212) at character 1", "-1"),
        ("\uff21b", "FULLWIDTH LATIN CAPITAL LETTER A (U+FF21) at character 1", "Ab"),
        ("\u0663", "ARABIC-INDIC DIGIT THREE (U+0663) at character 1", "3"),
        ("a\x00b", "CONTROL CHARACTER (U+0000) at character 2", "ab"),
        ("a\x1b[31mb", "ESCAPE (U+001B) at character 2", "ab"),
        ("a\x7fb", "DELETE (U+007F) at character 2", "ab"),
        ("a\nb", "LINE FEED (U+000A) at character 2", "ab"),
        ("a\udce9b", "byte 0xE9, which is not UTF-8, at character 2", None),
    ],
)
def test_an_unusual_character_is_named_and_corrected(
    text: str, name: str, meant: str | None
) -> None:
    found = list(unusual(text))
    assert str(found[0]) == name
    assert corrected(text, found) == meant


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII ~!@#$%^&*()_+",
        "größe/modèle/ñandú",
        "模型/大",
        "модель",
        "می\u200cترس",  # a joiner belongs to the word
        "क्\u200dष",
        "模型\u3000大",
        "👩\u200d💻❤\ufe0f",
    ],
)
def test_other_scripts_are_not_unusual(text: str) -> None:
    assert not list(unusual(text))


def test_in_ascii_every_other_letter_is_unusual() -> None:
    (found,) = unusual("met\u0430/llama", ascii_only=True)
    assert str(found) == "CYRILLIC SMALL LETTER A (U+0430) at character 4"
    assert corrected("met\u0430/llama", [found]) is None


def test_every_character_has_a_name_and_an_end() -> None:
    """No character of Unicode, and no byte that cannot be decoded, breaks the search."""
    for number in range(0x110000):
        character = chr(number)
        for found in unusual(f"a{character}b"):
            assert found.text == character
            assert character_name(found.text)
