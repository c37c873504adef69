"""Reads ARG: the user's options, checked against the catalogue, in vLLM's spelling.

:func:`split` turns the text into words, :func:`parse` turns the words into arguments, as vLLM's
parser does: names with ``_`` or ``-``, short and abbreviated names, ``--x=y``, ``--no-x``, ``-O3``,
and ``--config.key value`` for one key of a JSON object. It differs where vLLM's parser silently
drops something:

- ``--config=FILE`` is read like ``--config FILE``; vLLM ignores the first form.
- ``-cc.key`` and ``--compilation-config.key`` go into one object; vLLM keeps only the last one.
- A word that belongs to no option is an error; vLLM treats it as the model.
- An option's words follow it directly; vLLM allows ``--config.key value`` between them.
- ``--option.key`` is an error if the option does not take a JSON object.
- A value that only a plugin can make valid gets a warning.

vLLM itself checks what its parser does not: values inside a JSON object, combinations.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Literal

from entrypoint.errors import SettingError, UnknownOption
from entrypoint.note import Note
from entrypoint.options import history
from entrypoint.options.catalogue import Catalogue, Option, dashed
from entrypoint.options.values import (
    argument_error,
    check_key,
    check_value,
    converted_value,
    did_you_mean,
)

VARIABLE = "ARG"


@dataclass(frozen=True)
class Argument:
    """One option of ARG with its value.

    Attributes:
        option: The option.
        words: The words for vLLM: the canonical long spelling (``--no-x`` and ``--x.key``
            included), then the value's words. A value that starts with ``-`` is joined to the
            name with ``=``, because vLLM would read it as an option.
        value: The value; the last word of several; None for a flag.
        spelled: The option as the user spelled it.
        key: The keys in ``--x.key``, with their dots; empty for the option itself.
        translated: Whether it replaces a removed option.
    """

    option: Option
    words: tuple[str, ...]
    value: str | None
    spelled: str
    key: str = ""
    translated: bool = False


@dataclass(frozen=True)
class Parsed:
    """All of ARG.

    Attributes:
        arguments: In the user's order, without those that a later one replaces.
        notes: What was read differently than written.
    """

    arguments: tuple[Argument, ...]
    notes: tuple[Note, ...]

    @property
    def given(self) -> dict[str, Argument]:
        """The options that are set, by ``--name``."""
        return {a.option.name: a for a in self.arguments if a.words}

    def value(self, name: str) -> str | None:
        """Return an option's value, the last one if it repeats; None if it is not set."""
        values = [a.value for a in self.arguments if a.option.name == name]
        return values[-1] if values else None


def split(text: str) -> list[str]:
    """Split a text into words as a POSIX shell does, without expanding anything.

    Raises:
        SettingError: A quote is not closed, or the text ends with a backslash.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        position = _open_at(text)
        what = "a backslash at its end" if text[position] == "\\" else "an unclosed quote"
        raise SettingError(
            f"ARG has {what}, at character {position + 1}: {text[position : position + 40]}",
            variable=VARIABLE,
            hint="ARG is split into words like in a POSIX shell. Close the quote, or escape it "
            "with \\.",
        ) from None


def _open_at(text: str) -> int:
    """Return the position of the unclosed quote, or of the backslash at the end."""
    quote, start, escaped = "", 0, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
            start = start if quote else position
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote, start = character, position
    return start


def parse(words: Sequence[str], catalogue: Catalogue) -> Parsed:
    """Read the words of ARG.

    Raises:
        UnknownOption: No release since 0.2.6 has such an option.
        SettingError: An option lacks its value, has a wrong one, or is ambiguous; a word belongs
            to no option.
    """
    notes: list[Note] = []
    read = list(_Reader(words, catalogue, notes).read())
    uses = {item.option.spelling: item for item in read if isinstance(item, history.Use)}
    arguments: list[Argument] = []
    for item in read:
        if isinstance(item, history.Use):
            arguments += _translated(item, uses, catalogue, notes)
        else:
            arguments.append(item)
    arguments = _without_replaced(_folded_into_json(arguments), notes)
    _check_config_file(arguments)
    return Parsed(tuple(arguments), tuple(notes))


@dataclass(frozen=True)
class _Name:
    """An option's name in ARG.

    Attributes:
        spelled: The name as written.
        spellings: The exact spellings that it may stand for.
        key: The keys after the name, with their dots.
        explicit: The value in the same word, if any.
        removed: The entry of the option, if vLLM removed it.
    """

    spelled: str
    spellings: tuple[str, ...] = ()
    key: str = ""
    explicit: str | None = None
    removed: history.RemovedOption | None = None


@dataclass
class _Reader:
    """Reads words, one option at a time."""

    words: Sequence[str]
    catalogue: Catalogue
    notes: list[Note]
    position: int = 0

    def read(self) -> Iterator[Argument | history.Use]:
        previous: Argument | history.Use | None = None
        while self.position < len(self.words):
            word = self.words[self.position]
            if self._is_value(word) or word == "--":
                raise _stray_word(word, previous)
            self.position += 1
            name = self._name(word)
            previous = self._removed(name) if name.removed else self._argument(name)
            yield previous

    def _name(self, word: str) -> _Name:
        """Find the option that a word names, in the order in which vLLM's parser searches."""
        if word.startswith("-O") and (name := self._optimization(word)):
            return name
        head, equals, tail = word.partition("=")
        explicit = tail if equals else None
        base, dot, keys = dashed(head).partition(".")
        key = dot + keys
        if removed := _removed_option(base):
            return _Name(head, (base,), key, explicit, removed)
        exact = self.catalogue.by_spelling
        if base in exact or base.startswith("--") or dot:
            return _Name(head, self.catalogue.spellings_of(base), key, explicit)
        spellings = self.catalogue.spellings_of(word)
        if word[:2] in exact:  # a value may follow a one-letter option directly
            joined = () if word == word[:2] else (word[:2],)
            return _Name(word, (*spellings, *joined), "", word[2:] if not spellings else None)
        return _Name(head, spellings)

    def _optimization(self, word: str) -> _Name | None:
        """Read ``-O3``, ``-O=3`` and ``-O 3``, but not the JSON forms of the old ``-O``."""
        level = word[2:].removeprefix("=")
        if not level and self._peek() in ("0", "1", "2", "3"):
            return _Name("-O", ("--optimization-level",))
        if not level or level[0] in ".{":
            return None
        return _Name("-O", ("--optimization-level",), "", level)

    def _argument(self, name: _Name) -> Argument:
        spelling = self._one(name)
        option = self.catalogue.by_spelling[spelling]
        written = dashed(name.spelled).partition(".")[0]
        if spelling != written and spelling.startswith(written):
            self._note("info", f"ARG's {name.spelled} is read as {spelling}.")
        if name.key:
            return self._key_argument(option, name)
        match option.kind:
            case "help":
                raise argument_error(
                    f"{name.spelled} makes vLLM print its help and exit.",
                    hint="List the options with: inference-server options",
                )
            case "flag" | "boolean":
                return self._flag(option, spelling, name)
            case "list":
                values = self._values(name)
            case _:
                values = self._values(name, at_most=1)
        if not values and option.kind != "optional-value":
            raise _missing_value(name.spelled)
        return self._checked(option, values, name.spelled)

    def _checked(self, option: Option, values: tuple[str, ...], spelled: str) -> Argument:
        """Make an argument of an option and its values, each checked."""
        removed = history.removed_value(option.name, values[0]) if len(values) == 1 else None
        if removed is not None:
            words = removed.translate(values[0])
            reason = f"vLLM {removed.since} no longer accepts it"
            written = f"{option.name} {values[0]}"
            self._note("warning", _read_as(written, words, reason, removed.advice))
            if not words:
                # it still replaces an earlier one; it is removed itself later
                return Argument(option, (), None, spelled)
            (argument,) = _Reader(words, self.catalogue, self.notes).read()
            assert isinstance(argument, Argument)
            return replace(argument, spelled=spelled)
        for value in values:
            check_value(option, value)
            self._note_unknown_value(option, value)
        words = _joined(option.name, values)
        return Argument(option, words, values[-1] if values else None, spelled)

    def _note_unknown_value(self, option: Option, value: str) -> None:
        nothing = option.nullable and value in ("", "None")
        if not option.known or nothing or value.lower() in map(str.lower, option.known):
            return
        self._note(
            "warning",
            f"ARG: {option.name} {value!r} is not a value that vLLM {self.catalogue.version} has "
            f"without a plugin.{did_you_mean(value, option.known)} "
            f"It has: {', '.join(option.known)}.",
        )

    def _flag(self, option: Option, spelling: str, name: _Name) -> Argument:
        since = history.ONCE_BOOLEAN.get(option.name)
        given = name.explicit
        if since and given is None and self._peek() in history.TRUE | history.FALSE:
            given = self._take()
        if since and given in history.TRUE | history.FALSE:
            spelling = option.name if given in history.TRUE else option.negation or option.name
            self._note(
                "warning",
                f"ARG: {name.spelled} {given} is read as {spelling}: since vLLM {since} the "
                "option takes no value.",
            )
        elif given is not None:
            off = f" {option.negation} turns it off." if option.negation else ""
            raise argument_error(
                f"{name.spelled} takes no value, not {given!r}.{off}",
                hint=option.help or None,
            )
        return Argument(
            option, (spelling if spelling.startswith("--") else option.name,), None, name.spelled
        )

    def _key_argument(self, option: Option, name: _Name) -> Argument:
        if not option.takes_keys:
            raise argument_error(
                f"{name.spelled} sets a key, but {option.name} does not take a JSON object.",
                hint=option.help or None,
            )
        value = self._key_value(name)
        check_key(option, name.key[1:].split(".")[0].removesuffix("+"))
        words = _joined(option.name + name.key, (value,))
        return Argument(option, words, value, name.spelled, name.key)

    def _removed(self, name: _Name) -> history.Use:
        removed = name.removed
        assert removed is not None
        if name.key:
            values: tuple[str, ...] = (self._key_value(name),)
        elif removed.takes == "flag":
            values = (self._removed_flag(name),)
        else:
            values = self._values(name, at_most=1 if removed.takes == "value" else None)
        if not values:
            raise _missing_value(name.spelled)
        return history.Use(removed, name.key, values, name.spelled)

    def _removed_flag(self, name: _Name) -> str:
        given = name.explicit
        if given is None:
            given = self._take() if self._peek() in history.TRUE | history.FALSE else "true"
        if given not in history.TRUE | history.FALSE:
            raise argument_error(f"{name.spelled} {given!r} must be true or false.")
        negated = name.spellings[0].startswith("--no-")
        return "true" if (given in history.TRUE) != negated else "false"

    def _one(self, name: _Name) -> str:
        """Return the one spelling that a name stands for."""
        if len(name.spellings) == 1:
            return name.spellings[0]
        if not name.spellings:
            near = self.catalogue.nearest(name.spelled)
            raise UnknownOption(name.spelled, near, self.catalogue.version)
        raise argument_error(
            f"{name.spelled} is ambiguous. It could be {', '.join(name.spellings)}.",
            hint="Spell out the option.",
        )

    def _values(self, name: _Name, at_most: int | None = None) -> tuple[str, ...]:
        """Return the value in the same word, else the values that follow."""
        if name.explicit is not None:
            return (name.explicit,)
        end = None if at_most is None else self.position + at_most
        values = tuple(takewhile(self._is_value, self.words[self.position : end]))
        self.position += len(values)
        return values

    def _key_value(self, name: _Name) -> str:
        """Return a key's value: the next word, whatever it is."""
        value = name.explicit if name.explicit is not None else self._take()
        if value is None:
            raise _missing_value(name.spelled)
        return value

    def _is_value(self, word: str) -> bool:
        """Whether a word is a value, not an option, by argparse's rules."""
        if not word.startswith("-") or word == "-":
            return True
        if re.fullmatch(r"-\d+", word):
            return True
        return " " in word.partition("=")[0]

    def _peek(self) -> str | None:
        return self.words[self.position] if self.position < len(self.words) else None

    def _take(self) -> str | None:
        word = self._peek()
        self.position += 1
        return word

    def _note(self, level: Literal["info", "warning"], message: str) -> None:
        self.notes.append(Note(level, VARIABLE, message))


def _removed_option(spelling: str) -> history.RemovedOption | None:
    """Return the removed option with this spelling, for a flag also with ``--no-``."""
    positive = history.REMOVED.get(spelling.replace("--no-", "--", 1))
    flag = positive if positive and positive.takes == "flag" else None
    return history.REMOVED.get(spelling) or flag


def _joined(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return an option's words; a single value that looks like an option is joined with ``=``."""
    if len(values) == 1 and values[0].startswith("-") and not re.fullmatch(r"-\d+", values[0]):
        return (f"{name}={values[0]}",)
    return (name, *values)


def _read_as(written: str, words: tuple[str, ...], reason: str, advice: str) -> str:
    """Return the note about an option that is read as other words, or ignored for lack of any."""
    if words:
        return f"ARG: {written} is read as {shlex.join(words)}, because {reason}."
    return f"ARG: {written} is ignored, because {reason}: {advice}."


def _stray_word(word: str, previous: Argument | history.Use | None) -> SettingError:
    if isinstance(previous, Argument) and previous.option.kind in ("flag", "boolean"):
        option = previous.option
        off = f"Write {option.name} or {option.negation}." if option.negation else None
        return argument_error(
            f"{previous.spelled} takes no value, but {word!r} follows it.",
            hint=off or f"Write {option.name} alone, or remove it.",
        )
    return argument_error(
        f"{word!r} does not belong to any option.",
        hint="Set the model with MODEL_ID. Quote a value that contains spaces.",
    )


def _missing_value(spelled: str) -> SettingError:
    return argument_error(
        f"{spelled} needs a value.",
        hint=f"Write {spelled} VALUE, or {spelled}=VALUE if the value starts with a dash.",
    )


def _translated(
    item: history.Use, uses: dict[str, history.Use], catalogue: Catalogue, notes: list[Note]
) -> Iterator[Argument]:
    """Yield the arguments that replace a removed option, and add a note."""
    removed = item.option
    words = removed.translate(item, uses)
    reason = f"vLLM {removed.since} removed it"
    message = _read_as(item.spelled, words, reason, removed.advice)
    notes.append(Note("warning", VARIABLE, message))
    for argument in _Reader(words, catalogue, notes).read():
        assert isinstance(argument, Argument)
        yield replace(argument, spelled=item.spelled, translated=True)


def _folded_into_json(arguments: list[Argument]) -> list[Argument]:
    """Merge translated keys into the JSON object that the user gave to the same option.

    vLLM would discard the object.
    """
    folded = list(arguments)
    for argument in arguments:
        keyed = [a for a in arguments if a.option == argument.option and a.key]
        if argument.key or not keyed or not all(a.translated for a in keyed):
            continue
        data = converted_value(argument.option, argument.value or "")
        if not isinstance(data, dict):
            continue
        for key in keyed:
            _set_default(data, key.key[1:].split("."), _key_json(key.value or ""))
        value = json.dumps(data)
        folded[folded.index(argument)] = replace(
            argument, words=_joined(argument.option.name, (value,)), value=value
        )
        folded = [a for a in folded if a not in keyed]
    return folded


def _set_default(data: dict[str, object], keys: list[str], value: object) -> None:
    """Set a nested key unless it is already set. Merges objects."""
    here = data.setdefault(keys[0], {} if len(keys) > 1 else value)
    if not isinstance(here, dict):
        return
    if len(keys) > 1:
        _set_default(here, keys[1:], value)
    elif isinstance(value, dict):
        for key, nested in value.items():
            here.setdefault(key, nested)


def _key_json(value: str) -> object:
    """Read a key's value as vLLM does: as JSON if valid, else as a string."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _without_replaced(arguments: list[Argument], notes: list[Note]) -> list[Argument]:
    """Return the arguments that take effect, and add a note for each that does not."""
    kept: list[Argument] = []
    for position, argument in enumerate(arguments):
        name = argument.option.name
        later = [a for a in arguments[position + 1 :] if a.option == argument.option]
        if not argument.words:
            continue  # a value that is ignored
        if not argument.key and any(a.key for a in arguments if a.option == argument.option):
            message = (
                f"ARG: vLLM ignores the value of {name}, because ARG also sets keys of {name}."
            )
            notes.append(Note("warning", VARIABLE, message))
        elif (
            argument.option.kind != "append" and any(not a.key for a in later) and not argument.key
        ):
            message = f"ARG: {name} occurs more than once. The last one wins."
            notes.append(Note("info", VARIABLE, message))
        else:
            kept.append(argument)
    return kept


def _check_config_file(arguments: Iterable[Argument]) -> None:
    for argument in arguments:
        path = Path(argument.value or "")
        if argument.option.name != "--config":
            continue
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise argument_error(
                f"--config {argument.value!r} is not an existing .yaml file.",
                hint="Mount the file, and use its path in the container.",
            )
