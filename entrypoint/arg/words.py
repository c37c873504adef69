"""Splits ARG into words as a POSIX shell does, without expanding anything.

Blanks and line breaks separate words; a backslash before a line break joins lines; ``'``, ``"``
and ``\\`` quote; ``#`` starts a comment at the start of a word. Text that a shell would read as
nobody means it, such as JSON without quotes, is an error that shows the corrected ARG.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from entrypoint.errors import SettingError
from entrypoint.note import Note

VARIABLE = "ARG"

BLANKS = " \t\r\n"
_JOIN = re.compile(r"\\\r?\n")
"""A backslash that joins two lines."""
_FOLDED = re.compile(r"[ \t]+(?:(?=-|$)|\r?\n)")
"""What follows a backslash that joined lines, until YAML folded them or a blank came between."""
_LITERAL_BREAK = re.compile(r"\\[nrt](?=[\s\\-]|$)")
"""The two characters that stand for a line break or a tab in JSON and YAML."""
_EXPANSION = re.compile(r"\$(?:\w+|\{\w+[^}]*\}|\([^)]*\))|`[^`]+`")
_NEXT_OPTION = re.compile(r"\s--?[A-Za-z]")


@dataclass(frozen=True)
class Words:
    """The words of ARG.

    Attributes:
        words: The words, front to back.
        notes: What a shell would have read differently, or not at all.
    """

    words: tuple[str, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class _Fault:
    """Characters that are not meant as a shell reads them.

    Attributes:
        start: Position of the first one.
        end: Position after the last one.
        replacement: What is probably meant.
        what: What they are, for the message.
    """

    start: int
    end: int
    replacement: str
    what: str


def read_words(text: str) -> Words:
    """Return the words of a text, and notes.

    Raises:
        SettingError: A quote is not closed, or the text has characters that are not meant as a
            shell reads them. The hint shows the text corrected.
    """
    scanner = _Scanner(text)
    scanner.scan()
    if scanner.faults:
        raise _error(text, scanner.faults)
    return Words(tuple(scanner.words), tuple(scanner.notes))


def split(text: str) -> list[str]:
    """Return the words of a text.

    Raises:
        SettingError: As :func:`read_words`.
    """
    return list(read_words(text).words)


def _error(text: str, faults: list[_Fault]) -> SettingError:
    first = faults[0]
    shown = text[first.start : first.start + 40]
    return SettingError(
        f"ARG has {first.what}, at character {first.start + 1}: {shown}",
        variable=VARIABLE,
        hint=f"ARG is split into words like in a POSIX shell. Corrected: ARG={_corrected(text)}",
    )


def _corrected(text: str) -> str:
    """Return a text with its faults replaced. One may have hidden another."""
    for _ in range(8):
        text = text.strip()
        scanner = _Scanner(text)
        scanner.scan()
        if not scanner.faults:
            break
        for fault in reversed(scanner.faults):
            text = text[: fault.start] + fault.replacement + text[fault.end :]
    return text


@dataclass
class _Scanner:
    """Reads a text, one character at a time."""

    text: str
    words: list[str] = field(default_factory=list)
    faults: list[_Fault] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    position: int = 0
    word: str | None = None
    """The word so far; None between words."""

    def scan(self) -> None:
        while self.position < len(self.text):
            self._step(self.text[self.position])
        self._end_word()

    def _step(self, character: str) -> None:
        if character in BLANKS:
            self._end_word()
            self.position += 1
        elif character == "\\":
            self._backslash()
        elif character in "'\"":
            self._quoted(character)
        elif character == "#" and self.word is None:
            self._comment()
        elif character in "{[" and (self.word is None or self.word.endswith("=")):
            self._bracket()
        else:
            self._note_expansion()
            self._take(1)

    def _end_word(self) -> None:
        if self.word is not None:
            self.words.append(self.word)
        self.word = None

    def _take(self, length: int) -> None:
        """Add the next characters to the word, unchanged."""
        self.word = (self.word or "") + self.text[self.position : self.position + length]
        self.position += length

    def _fault(self, length: int, replacement: str, what: str) -> None:
        end = self.position + length
        self.faults.append(_Fault(self.position, end, replacement, what))

    def _backslash(self) -> None:
        after = self.position + 1
        if joined := _JOIN.match(self.text, self.position):
            self.position = joined.end()
        elif after == len(self.text):
            self._fault(1, "", "a backslash at its end")
            self.position += 1
        elif self.word is None and (folded := _FOLDED.match(self.text, after)):
            what = "a backslash before a blank, as if a line ended there"
            self._fault(folded.end() - self.position, " ", what)
            self.position = folded.end()
        elif broken := _LITERAL_BREAK.match(self.text, self.position):
            name = "tab" if broken[0] == "\\t" else "line break"
            self._fault(2, " ", f"the two characters {broken[0]} instead of a {name}")
            self.position += 2
            self._end_word()
        else:
            self.word = (self.word or "") + self.text[after]
            self.position += 2

    def _quoted(self, quote: str) -> None:
        start = self.position
        content = self.word or ""
        self.position += 1
        while self.position < len(self.text):
            character = self.text[self.position]
            if character == quote:
                self.position += 1
                self.word = content
                return
            if character == "\\" and quote == '"':
                following = self.text[self.position + 1 : self.position + 2]
                if joined := _JOIN.match(self.text, self.position):
                    self.position = joined.end()
                    continue
                if following and following in '$`"\\':
                    content += following
                    self.position += 2
                    continue
            if quote == '"':
                self._note_expansion()
            content += character
            self.position += 1
        self.word = content
        self.faults.append(self._unclosed(start, quote))

    def _unclosed(self, start: int, quote: str) -> _Fault:
        """Return the fault of a quote that is never closed, with the likely end of its word."""
        if quote == "'" and start and self.text[start - 1].isalnum():  # an apostrophe
            return _Fault(start, start + 1, "\\'", "an unclosed quote")
        following = _NEXT_OPTION.search(self.text, start)
        end = following.start() if following else len(self.text.rstrip())
        content = self.text[start:end]
        if quote == '"' and (len(content) - len(content.rstrip("\\"))) % 2:
            content = content[:-1]
        return _Fault(start, end, content + quote, "an unclosed quote")

    def _comment(self) -> None:
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        comment = self.text[self.position : end]
        if _NEXT_OPTION.search(comment):
            self.notes.append(
                Note(
                    "warning",
                    VARIABLE,
                    f"ARG: the text from # at character {self.position + 1} to the end of the line "
                    "is a comment, so the options in it have no effect.",
                )
            )
        self.position = end

    def _bracket(self) -> None:
        """Find JSON without quotes around it: a shell removes the quotes inside."""
        try:
            _, end = json.JSONDecoder().raw_decode(self.text, self.position)
        except (ValueError, RecursionError):
            end = self.position
        found = self.text[self.position : end]
        if not re.search(r"[\s\"]", found):
            self._take(1)
            return
        quoted = "'" + found.replace("'", "'\\''") + "'"
        self._fault(len(found), quoted, "JSON without quotes around it")
        self._take(len(found))

    def _note_expansion(self) -> None:
        found = _EXPANSION.match(self.text, self.position)
        if found is not None:
            self.notes.append(
                Note(
                    "warning",
                    VARIABLE,
                    f"ARG: nothing expands the {found[0][0]} at character {self.position + 1}. "
                    "Write the value itself, or put it in single quotes if it is meant.",
                )
            )
