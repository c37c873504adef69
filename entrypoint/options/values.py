"""Checks the values of options as vLLM's parser does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from entrypoint.options.catalogue import Option
from entrypoint.options.history import REFUSED_VALUES, RENAMED_KEYS
from entrypoint.options.source import ARG, OptionSource
from entrypoint.spelling import nearest


def check_value(option: Option, value: str, source: OptionSource = ARG) -> None:
    """Check one word of an option's value as vLLM's parser does.

    Args:
        option: The option.
        value: The word.
        source: Where it was written, for the message.

    Raises:
        SettingError: The word has the wrong type, or is not one of the choices.
    """
    if option.nullable and value in ("", "None"):
        return
    try:
        converted = converted_value(option, value)
    except ValueError as error:
        raise source.error(
            f"{option.name} {value!r} is not {_expected(option)}{_json_position(error)}.",
            hint=option.help or None,
        ) from None
    if option.choices and converted not in option.choices:
        allowed = ", ".join(map(str, option.choices))
        raise source.error(
            f"vLLM does not accept {option.name} {value!r}. "
            f"Accepted: {allowed}.{did_you_mean(value, map(str, option.choices))}",
            hint=option.help or None,
        )
    if last := REFUSED_VALUES.get(option.name, {}).get(value):
        raise source.error(
            f"vLLM removed {option.name} {value} after {last}. "
            f"Accepted: {', '.join(option.known)}.",
            hint="Serve a model with another quantization.",
        )
    if option.keys and isinstance(converted, dict):
        for key in converted:
            check_key(option, key, source)


def converted_value(option: Option, value: str) -> object:
    """Return a word converted to the option's type: a number, a JSON value, or text.

    Raises:
        ValueError: It does not have that type.
    """
    if option.type != "json" or not option.keys:
        return _CONVERTERS[option.type or "str"](value)
    converted = _json(value)
    if not isinstance(converted, dict):
        raise ValueError(value)
    return converted


def check_key(option: Option, key: str, source: OptionSource = ARG) -> None:
    """Check a key of an option's JSON object.

    Raises:
        SettingError: The object has no such key.
    """
    if not option.keys or key in option.keys:
        return
    replacement = RENAMED_KEYS.get(option.name, {}).get(key)
    advice = f" Use {replacement}." if replacement else did_you_mean(key, option.keys)
    raise source.error(
        f"{option.name} does not have the key {key!r}.{advice}",
        hint=f"Its keys: {', '.join(option.keys)}.",
    )


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return `` Did you mean NAME?`` for the most similar known name, empty if none is similar."""
    found = nearest(written, known)
    return f" Did you mean {found}?" if found else ""


_MULTIPLIERS: dict[str, int] = {
    **{letter: 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{letter: 1024**power for power, letter in enumerate("KMGT", start=1)},
}
_HUMAN_INT = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
_HUMAN_INT_IN_JSON = re.compile(r'("(?:[^"\\]|\\.)*")|\b\d+(?:\.\d+)?[kKmMgGtT]\b')


def human_int(value: str) -> int:
    """Return the number of ``16``, ``2k`` (2000), ``25.6k`` or ``2K`` (2048).

    Raises:
        ValueError: It has another form.
    """
    found = _HUMAN_INT.fullmatch(value.strip())
    if found is None:
        return int(value)
    number, suffix = found.groups()
    if suffix.islower():
        return int(float(number) * _MULTIPLIERS[suffix])
    return int(number) * _MULTIPLIERS[suffix]


def _human_int_or_auto(value: str) -> int:
    return -1 if value.strip().lower() in ("-1", "auto") else human_int(value)


def _json(value: str) -> object:
    """Read JSON in which numbers may have the suffixes of :func:`human_int`, as vLLM does."""
    expanded = _HUMAN_INT_IN_JSON.sub(lambda m: m[1] or str(human_int(m[0])), value)
    return json.loads(expanded)


def _json_or_str(value: str) -> object:
    return json.loads(value) if re.fullmatch(r"(?s)\s*\{.*\}\s*", value) else value


def _lora(value: str) -> object:
    if "=" in value and "," not in value:
        return value
    adapter = json.loads(value)
    if not isinstance(adapter, dict) or not {"name", "path"} <= adapter.keys():
        raise ValueError(value)
    return adapter


def _folded(value: str) -> str:
    return value.lower().replace("-", "_")


_CONVERTERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "folded-str": _folded,
    "human-int": human_int,
    "human-int-or-auto": _human_int_or_auto,
    "json": json.loads,
    "json-or-str": _json_or_str,
    "lora": _lora,
}

_EXPECTED = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "folded-str": "text",
    "human-int": "an integer such as 4096, 4k or 4K",
    "human-int-or-auto": "an integer such as 4096, 4k or 4K, or auto",
    "json": "valid JSON",
    "json-or-str": "valid JSON",
    "lora": "NAME=PATH or a JSON object with a name and a path",
}


def _expected(option: Option) -> str:
    is_object = option.keys and option.type == "json"
    return "a JSON object" if is_object else _EXPECTED[option.type or "str"]


def _json_position(error: ValueError) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return ""
    return f": {error.msg} at character {error.pos + 1}"
