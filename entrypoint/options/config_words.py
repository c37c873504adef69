"""Turns a key of a configuration file into the words that it stands for on the command line.

As vLLM does (``load_config_file``), except where vLLM drops or garbles something:

- ``enable_x: false`` is ``--no-enable-x`` like ``enable-x: false``; vLLM drops the first.
- A boolean for an option that takes a value is an error; vLLM drops ``false``, and ``true`` takes
  the next word of the command line as its value.
- A list for an option that takes JSON is JSON, and an option that may repeat gets each item; vLLM
  fails. So does a list of objects, as for ``lora-modules``.
- A key without a value is an error unless the option accepts ``None``; vLLM passes ``None`` on.
"""

from __future__ import annotations

import json
import re
from typing import Any

from entrypoint.arg.config_file import Entry
from entrypoint.note import Note
from entrypoint.options.catalogue import Catalogue, Option, dashed
from entrypoint.options.history import REMOVED
from entrypoint.options.source import OptionSource
from entrypoint.options.values import did_you_mean

_KEY = re.compile(r"[A-Za-z][\w-]*(\.[\w-]+)*\+?")


def config_words(
    entry: Entry, catalogue: Catalogue, source: OptionSource, notes: list[Note]
) -> tuple[str, ...]:
    """Return the words of one key. A key that means nothing has none.

    Raises:
        SettingError: The key is not an option's name, or the value's type does not fit.
    """
    key, value = entry.key, entry.value
    if not _KEY.fullmatch(key):
        written = "-".join(key.strip(" -").split())
        near = did_you_mean(written, (o.name.removeprefix("--") for o in catalogue.options))
        raise source.error(
            f"the key {key!r} is not an option's name.{near}",
            hint="Write the option's name without dashes in front: max-model-len: 4096",
        )
    name = f"--{key}"
    if dashed(name) == "--config":
        raise source.error(
            "a configuration file cannot name another one.", hint="Write all options in one file."
        )
    if dashed(name) == "--model-tag":
        raise source.error("model_tag is not an option. Did you mean model?")
    removed = REMOVED.get(dashed(name)) or REMOVED.get(dashed(name).replace("--no-", "--", 1))
    if removed is not None and removed.takes == "flag":
        return (f"{name}={_text(value)}",)
    option = catalogue.find(name)
    keyed = "." in key
    if option is not None and not keyed and option.kind in ("flag", "boolean", "help"):
        return _flag(name, value, entry, option, source, notes)
    if value is None and not (option is not None and option.nullable):
        raise source.error(f"{key} has no value.", hint="Give it one, or remove the line.")
    if isinstance(value, bool) and not keyed:
        return _boolean(name, value, entry, option, source)
    if isinstance(value, list) and not keyed:
        return _list(name, value, entry, option, source)
    _note_retyped(entry, option, source, notes)
    return (f"{name}={_text(value)}",)


def _flag(
    name: str,
    value: object,
    entry: Entry,
    option: Option,
    source: OptionSource,
    notes: list[Note],
) -> tuple[str, ...]:
    if value is True:
        return (name,)
    if value is not False:
        if isinstance(value, str) and option.kind == "boolean":
            return (f"{name}={value}",)  # some options once took "true" and "false"
        raise source.error(
            f"{entry.key} takes true or false, not {_shown(entry)}.", hint=option.help or None
        )
    if dashed(name) == option.negation:
        message = f"vLLM ignores {entry.key}: false. Write {option.name[2:]}: true."
        notes.append(source.note("warning", message))
        return ()
    return (option.negation,) if option.negation else ()


def _boolean(
    name: str, value: bool, entry: Entry, option: Option | None, source: OptionSource
) -> tuple[str, ...]:
    if option is None or (option.kind == "optional-value" and value):
        return (name,)
    raise source.error(
        f"{entry.key} takes a value, but YAML reads {_shown(entry)} as {_text(value)}.",
        hint=f'If it is meant as text, put it in quotes: {entry.key}: "{_shown(entry)}"',
    )


def _list(
    name: str, value: list[Any], entry: Entry, option: Option | None, source: OptionSource
) -> tuple[str, ...]:
    if not value:
        return ()
    kind = option.kind if option is not None else "list"
    if kind == "append":
        return tuple(f"{name}={_text(item)}" for item in value)
    if kind == "list":
        words = [_text(item) for item in value]
        return (f"{name}={words[0]}",) if len(words) == 1 else (name, *words)
    if option is not None and option.takes_keys:
        return (f"{name}={_text(value)}",)
    raise source.error(
        f"{entry.key} takes one value, not a list.",
        hint=(option.help if option is not None else "") or None,
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return str(value)


def _shown(entry: Entry) -> str:
    return entry.written if entry.written is not None else _text(entry.value)


def _note_retyped(
    entry: Entry, option: Option | None, source: OptionSource, notes: list[Note]
) -> None:
    """Warn if YAML changed the text of an option that takes text: 1.10 is the number 1.1."""
    text = _text(entry.value)
    if option is None or option.type != "str" or entry.written in (None, "", text):
        return
    if entry.value is None or isinstance(entry.value, str):
        return
    notes.append(
        source.note(
            "warning",
            f"YAML reads {entry.key}: {entry.written} as {text}. Put the value in quotes to keep "
            "it as it is written.",
        )
    )
