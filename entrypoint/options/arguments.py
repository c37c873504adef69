"""Reads ARG: the user's options, checked against the catalogue, in vLLM's spelling.

:func:`parse` turns the words into arguments, as vLLM's parser does: names with ``_`` or ``-``,
short and abbreviated names, ``--x=y``, ``--no-x``, ``-O3``, and ``--config.key value`` for one key
of a JSON object. It differs where vLLM's parser silently drops something:

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
from typing import Literal

from entrypoint.arg.config_file import read_config_file
from entrypoint.arg.words import read_words
from entrypoint.errors import SettingError, UnknownOption
from entrypoint.note import Note
from entrypoint.options import history
from entrypoint.options.catalogue import Catalogue, Option, dashed, load_catalogue
from entrypoint.options.config_words import config_words
from entrypoint.options.json_repair import repaired
from entrypoint.options.source import ARG, OptionSource, line_of
from entrypoint.options.values import (
    check_key,
    check_value,
    converted_value,
    did_you_mean,
)

CONFIG = "--config"


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
        source: Where it was written.
    """

    option: Option
    words: tuple[str, ...]
    value: str | None
    spelled: str
    key: str = ""
    translated: bool = False
    source: OptionSource = ARG


@dataclass(frozen=True)
class Parsed:
    """All of ARG, and of the configuration file that it names.

    Attributes:
        arguments: The file's, then ARG's, each in the user's order, without those that a later
            one replaces.
        notes: What was read differently than written.
    """

    arguments: tuple[Argument, ...]
    notes: tuple[Note, ...]

    @property
    def given(self) -> dict[str, Argument]:
        """The options that are set, by ``--name``."""
        return {a.option.name: a for a in self.arguments if a.words}

    def value(self, name: str) -> str | None:
        """Return an option's value, the last one if it repeats; None if it is not set.

        An empty word and ``None`` count as unset if they do for vLLM.
        """
        values = [a for a in self.arguments if a.option.name == name]
        if not values or (values[-1].option.nullable and values[-1].value in ("", "None")):
            return None
        return values[-1].value


def read_arguments(text: str) -> Parsed:
    """Read ARG, and the file that its ``--config`` names.

    Raises:
        UnknownOption, SettingError: As :func:`parse`. Or the text cannot be split into words.
    """
    arg = read_words(text)
    parsed = parse(arg.words, load_catalogue())
    return Parsed(parsed.arguments, arg.notes + parsed.notes)


def parse(words: Sequence[str], catalogue: Catalogue) -> Parsed:
    """Read the words of ARG, and the file that its ``--config`` names.

    As with vLLM, the file's options come first, so ARG's own win over them.

    Raises:
        UnknownOption: No release since 0.2.6 has such an option.
        SettingError: An option lacks its value, has a wrong one, or is ambiguous; a word belongs
            to no option. Or the configuration file cannot be read.
    """
    notes: list[Note] = []
    own = list(_Reader(words, catalogue, notes).read())
    read = [*_of_config_file(own, catalogue, notes), *own]
    uses = {item.option.spelling: item for item in read if isinstance(item, history.Use)}
    arguments: list[Argument] = []
    for item in read:
        if isinstance(item, history.Use):
            arguments += _translated(item, uses, catalogue, notes)
        else:
            arguments.append(item)
    arguments = _without_replaced(_folded_into_json(arguments), notes)
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
    source: OptionSource = ARG
    position: int = 0

    def read(self) -> Iterator[Argument | history.Use]:
        previous: Argument | history.Use | None = None
        while self.position < len(self.words):
            word = self.words[self.position]
            if word.startswith("-") and " " in word and self._is_value(word):
                raise self._quoted_option(word)
            if self._is_value(word) or word == "--":
                raise self._stray_word(word, previous)
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
            self._note("info", f"{name.spelled} is read as {spelling}.")
        if name.key:
            return self._key_argument(option, name)
        match option.kind:
            case "help":
                raise self.source.error(
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
            raise self._missing_value(name.spelled)
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
                return Argument(option, (), None, spelled, source=self.source)
            (argument,) = _Reader(words, self.catalogue, self.notes, self.source).read()
            assert isinstance(argument, Argument)
            return replace(argument, spelled=spelled)
        for index, value in enumerate(values, self.position - len(values)):
            self._check_quotes(option, value, index, spelled)
            check_value(option, value, self.source)
            self._note_unknown_value(option, value)
        words = _joined(option.name, values)
        last = values[-1] if values else None
        return Argument(option, words, last, spelled, source=self.source)

    def _check_quotes(self, option: Option, value: str, index: int, spelled: str) -> None:
        """Refuse a value in braces that lost its quotes. Its parts may be separate words.

        Args:
            option: The option.
            value: The value, or its first part.
            index: The position of its word.
            spelled: The option as the user spelled it.
        """
        is_arg = self.source is ARG
        if not is_arg or not value.startswith(("{", "[")) or _is_complete(option, value):
            return
        end = index + 1
        while _open_brackets(value) > 0 and end < len(self.words):
            value += f" {self.words[end]}"
            end += 1
        fixed = repaired(value) if option.takes_keys else value
        if fixed is None or _open_brackets(value):
            return
        joined = self.words[index].startswith("-")  # --option=VALUE
        before = [*self.words[:index], *([spelled] if joined else [])]
        after = [
            (option.takes_keys and word.startswith("{") and repaired(word)) or word
            for word in self.words[end:]
        ]
        what = "is not JSON: quotes are missing or wrong" if option.takes_keys else "has no quotes"
        raise self._corrected(f"{option.name} {value} {what}.", [*before, fixed, *after])

    def _corrected(self, message: str, words: Sequence[str]) -> SettingError:
        """Return an error that shows the corrected words."""
        return self.source.error(message, hint=f"Corrected: ARG={shlex.join(words)}")

    def _note_unknown_value(self, option: Option, value: str) -> None:
        nothing = option.nullable and value in ("", "None")
        if not option.known or nothing or value.lower() in map(str.lower, option.known):
            return
        self._note(
            "warning",
            f"{option.name} {value!r} is not a value that vLLM {self.catalogue.version} has "
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
                f"{name.spelled} {given} is read as {spelling}: since vLLM {since} the "
                "option takes no value.",
            )
        elif given is not None:
            off = f" {option.negation} turns it off." if option.negation else ""
            raise self.source.error(
                f"{name.spelled} takes no value, not {given!r}.{off}",
                hint=option.help or None,
            )
        word = spelling if spelling.startswith("--") else option.name
        return Argument(option, (word,), None, name.spelled, source=self.source)

    def _key_argument(self, option: Option, name: _Name) -> Argument:
        if not option.takes_keys:
            raise self.source.error(
                f"{name.spelled} sets a key, but {option.name} does not take a JSON object.",
                hint=option.help or None,
            )
        value = self._key_value(name)
        check_key(option, name.key[1:].split(".")[0].removesuffix("+"), self.source)
        words = _joined(option.name + name.key, (value,))
        return Argument(option, words, value, name.spelled, name.key, source=self.source)

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
            raise self._missing_value(name.spelled)
        return history.Use(removed, name.key, values, name.spelled, self.source)

    def _removed_flag(self, name: _Name) -> str:
        given = name.explicit
        if given is None:
            given = self._take() if self._peek() in history.TRUE | history.FALSE else "true"
        if given not in history.TRUE | history.FALSE:
            raise self.source.error(f"{name.spelled} {given!r} must be true or false.")
        negated = name.spellings[0].startswith("--no-")
        return "true" if (given in history.TRUE) != negated else "false"

    def _one(self, name: _Name) -> str:
        """Return the one spelling that a name stands for."""
        if len(name.spellings) == 1:
            return name.spellings[0]
        if not name.spellings:
            near = self.catalogue.nearest(name.spelled)
            raise UnknownOption(name.spelled, near, self.catalogue.version, self.source.name)
        raise self.source.error(
            f"{name.spelled} is ambiguous. It could be {', '.join(name.spellings)}.",
            hint="Spell out the option.",
        )

    def _values(self, name: _Name, at_most: int | None = None) -> tuple[str, ...]:
        """Return the value in the same word, else the values that follow."""
        if name.explicit is not None:
            self._check_equals(name, self._peek())
            return (name.explicit,)
        end = None if at_most is None else self.position + at_most
        values = tuple(takewhile(self._is_value, self.words[self.position : end]))
        self._check_equals(name, values[0] if values else None)
        self.position += len(values)
        return values

    def _key_value(self, name: _Name) -> str:
        """Return a key's value: the next word, whatever it is."""
        self._check_equals(name, self._peek())
        value = name.explicit if name.explicit is not None else self._take()
        if value is None:
            raise self._missing_value(name.spelled)
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

    def _check_equals(self, name: _Name, following: str | None) -> None:
        """Refuse ``--x = y``, ``--x =y`` and ``--x= y``.

        Raises:
            SettingError: A blank is beside the option's ``=``.
        """
        if following is None or self.source is not ARG:
            return
        if name.explicit is None and following.startswith("="):
            value = following[1:]
        elif name.explicit == "" and self._is_value(following):
            value = following
        else:
            return
        words = [*self.words[: self.position - 1], name.spelled, *([value] if value else [])]
        words += self.words[self.position + 1 :]
        raise self._corrected(f"{name.spelled} has a blank beside its =.", words)

    def _quoted_option(self, word: str) -> SettingError:
        before, after = self.words[: self.position], self.words[self.position + 1 :]
        words = (shlex.join(before), word, shlex.join(after))
        return self.source.error(
            f"{word!r} is one word, because quotes are around it.",
            hint=f"Corrected: ARG={' '.join(filter(None, words))}",
        )

    def _command(self) -> str | None:
        """Return the advice for an ARG that is an entire command line of vLLM."""
        words = list(self.words)
        if words[:2] == ["vllm", "serve"]:
            rest = words[2:]
        elif words[0].startswith("python") and words[1:2] == ["-m"]:
            rest = words[3:]
        else:
            return None
        model = f"Set MODEL_ID={rest.pop(0)} and " if rest and self._is_value(rest[0]) else "Set "
        return f"{model}ARG={shlex.join(rest)}"

    def _stray_word(self, word: str, previous: Argument | history.Use | None) -> SettingError:
        if isinstance(previous, Argument) and previous.option.kind in ("flag", "boolean"):
            option = previous.option
            off = f"Write {option.name} or {option.negation}." if option.negation else None
            return self.source.error(
                f"{previous.spelled} takes no value, but {word!r} follows it.",
                hint=off or f"Write {option.name} alone, or remove it.",
            )
        advice = "Set the model with MODEL_ID. Quote a value that contains spaces."
        return self.source.error(
            f"{word!r} does not belong to any option.",
            hint=(None if previous else self._command()) or advice,
        )

    def _missing_value(self, spelled: str) -> SettingError:
        return self.source.error(
            f"{spelled} needs a value.",
            hint=f"Write {spelled} VALUE, or {spelled}=VALUE if the value starts with a dash.",
        )

    def _note(self, level: Literal["info", "warning"], message: str) -> None:
        self.notes.append(self.source.note(level, message))


def _is_complete(option: Option, value: str) -> bool:
    """Whether a value that starts with a bracket is JSON, or text with no open bracket."""
    if not option.takes_keys:
        return not _open_brackets(value)
    try:
        return not isinstance(converted_value(option, value), str)
    except ValueError:
        return False


def _open_brackets(text: str) -> int:
    return sum(map(text.count, "{[")) - sum(map(text.count, "}]"))


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
        return f"{written} is read as {shlex.join(words)}, because {reason}."
    return f"{written} is ignored, because {reason}: {advice}."


def _translated(
    item: history.Use, uses: dict[str, history.Use], catalogue: Catalogue, notes: list[Note]
) -> Iterator[Argument]:
    """Yield the arguments that replace a removed option, and add a note."""
    removed = item.option
    words = removed.translate(item, uses)
    reason = f"vLLM {removed.since} removed it"
    message = _read_as(item.spelled, words, reason, removed.advice)
    notes.append(item.source.note("warning", message))
    for argument in _Reader(words, catalogue, notes, item.source).read():
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
        name, source = argument.option.name, argument.source
        same = [a for a in arguments if a.option == argument.option]
        keyed = next((a for a in same if a.key), None)
        later = [a for a in arguments[position + 1 :] if a.option == argument.option and not a.key]
        if not argument.words:
            continue  # a value that is ignored
        if not argument.key and keyed:
            message = (
                f"vLLM ignores the value of {name}, because {keyed.source.name} also sets keys of "
                f"{name}."
            )
            notes.append(source.note("warning", message))
        elif argument.option.kind == "append" or argument.key or not later:
            kept.append(argument)
        elif later[-1].source.file == source.file:
            notes.append(source.note("info", f"{name} occurs more than once. The last one wins."))
        else:
            notes.append(source.note("info", f"{later[-1].source.owned(name)} wins."))
    return kept


def _of_config_file(
    own: Iterable[Argument | history.Use], catalogue: Catalogue, notes: list[Note]
) -> Iterator[Argument | history.Use]:
    """Yield the options in the file that ``--config`` names, if ARG has it."""
    named = [a for a in own if isinstance(a, Argument) and a.option.name == CONFIG]
    if not named:
        return
    if len(named) > 1:
        raise ARG.error(
            f"{CONFIG} occurs {len(named)} times, but vLLM reads only one configuration file.",
            hint="Write all options in one file, or add them to ARG.",
        )
    file = read_config_file(named[0].value or "")
    for entry in file.entries:
        source = line_of(file.path, entry.line)
        if entry.repeated:
            notes.append(source.note("info", f"{entry.key} occurs more than once. The last wins."))
            continue
        words = config_words(entry, catalogue, source, notes)
        yield from _Reader(words, catalogue, notes, source).read()
