"""One value of the environment, as it was meant.

| in a value | what happens |
| --- | --- |
| a line break, carriage return, blank or tab at its start or end | removed, with a note |
| quotes around it, as ``docker run --env-file`` keeps them | removed; an error in our own keys |
| an invisible or control character, a byte that is not UTF-8 | an error |
| typographic quotes and dashes, full-width letters | an error; a warning in a path |
| ``${NAME}``, ``<your-token>``, ``none``, base64 of a token | an error |

What is right depends on the :class:`Kind`. An error shows the corrected value, unless it is secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum

from entrypoint.environment.arg_text import unquoted, unusual_in_arg
from entrypoint.environment.home import expanded
from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.shared.characters import Unusual, corrected, unusual

EDGES = " \t\r\n\v\f"
"""What is removed at the start and the end of a value."""

SHOWN_CHARACTERS = 60
"""How much of a long value an error shows."""


class Kind(Enum):
    """What a variable's value is."""

    WORD = "word"
    """A number, a boolean, one of several words, a host: ASCII."""
    MODEL = "model"
    """A repository id, a path or a URI."""
    NAME = "name"
    """A name that somebody chose: any letters."""
    PATH = "path"
    TOKEN = "token"
    """A secret that somebody else issued: ASCII without blanks."""
    KEY = "key"
    """A secret of our own: any printable characters."""
    ARG = "arg"
    """Options, split like in a shell."""
    OTHER = "other"
    """A value that a library reads, and that we do not know."""


SECRET = (Kind.TOKEN, Kind.KEY)

_NOT_SUBSTITUTED = re.compile(
    r"\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}|%[A-Za-z_]\w*%", re.DOTALL
)
_REFERENCE = re.compile(r"\$\{\w+\}|\$\(\w+\)|^\$[A-Za-z_]\w*(?=/)")
_PLACEHOLDER = re.compile(r"<[^<>]+>")
_SECRET_PLACEHOLDER = re.compile(
    r"(?:hf_|sk-)?(?:\*+|[xX]{3,}|\.{3,}|\u2026)"
    r"|(?:please[-_ ]?)?(?:change|replace)[-_ ]?(?:me|this)|todo|placeholder"
    r"|(?:insert|enter)?[-_ ]?your[-_ ]?(?:\w+[-_ ])*(?:token|key|secret)(?:[-_ ]here)?",
    re.IGNORECASE,
)
_NOTHING = frozenset({"none", "null", "nil", "undefined"})
_ENCODED = {"aGZf": "hf_", "QUtJQ": "AKIA", "QVNJQ": "ASIA"}
"""How the base64 of a token starts, and how the token does."""
_COMMENT = re.compile(r"\s+#.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CleanValue:
    """A cleaned value.

    Attributes:
        text: The value.
        notes: What was removed, and what is doubtful.
        problem: Why it cannot be used.
    """

    text: str
    notes: tuple[Note, ...] = ()
    problem: SettingError | None = None


def clean_value(name: str, value: str, kind: Kind, home: str | None = None) -> CleanValue:
    """Return a variable's value as it was meant, or why it cannot be used.

    Args:
        name: The variable.
        value: Its value.
        kind: What its value is.
        home: The user's home directory, which ``~`` in a path stands for.
    """
    if kind is Kind.ARG:
        return _cleaned_arg(name, value)
    text = value.strip(EDGES)
    notes = []
    if text != value:
        notes.append(_note(name, _edges(value)))
    if not text:
        if kind is Kind.KEY:
            return CleanValue(value, problem=_error(name, kind, value, "contains only blanks"))
        return CleanValue("", (_note(name, "only blanks, so that it counts as unset"),))
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        if kind is Kind.KEY:
            quoted = _error(name, kind, text, "is enclosed in quotes", hint=_QUOTED_KEY)
            return CleanValue(text, problem=quoted)
        text = text[1:-1].strip(EDGES)
        notes.append(_note(name, "quotes around its value, which were removed"))
    problem, doubts = _judged(name, text, kind)
    if problem is None and text.startswith("~") and kind in (Kind.PATH, Kind.MODEL):
        try:
            text = expanded(text, home)
        except ValueError as error:
            what = f"stands for a home directory, but {error}"
            problem = _error(name, kind, text, what, hint=f"Set {name} to an absolute path.")
    return CleanValue(text, (*notes, *doubts), problem)


_QUOTED_KEY = (
    "docker run --env-file and some other tools keep quotes. Remove them. If they belong to the "
    "key, write the key to a file and set API_KEY_FILE."
)


def _cleaned_arg(name: str, value: str) -> CleanValue:
    text = unquoted(value)
    quotes = _note(name, "quotes around its value, which were removed")
    notes = (quotes,) if text != value else ()
    if _NOT_SUBSTITUTED.fullmatch(text.strip()):
        return CleanValue(text, notes, _not_substituted(name, Kind.ARG, text))
    found = list(unusual_in_arg(text))
    problem = _unusual_error(name, Kind.ARG, text, found) if found else None
    return CleanValue(text, notes, problem)


def _judged(name: str, text: str, kind: Kind) -> tuple[SettingError | None, list[Note]]:
    """Return why a value cannot be used, and what is doubtful about it."""
    is_path = kind is Kind.PATH or (kind is Kind.MODEL and _looks_like_path(text))
    ascii_only = kind in (Kind.WORD, Kind.TOKEN) or (kind is Kind.MODEL and not is_path)
    found = list(unusual(text, ascii_only=ascii_only))
    if kind is Kind.OTHER:  # some are JSON, or a certificate
        found = [each for each in found if each.text not in "\t\r\n"]
    may_be_meant = is_path or kind is Kind.OTHER
    errors = [each for each in found if not (may_be_meant and each.visible)]
    if errors:
        return _unusual_error(name, kind, text, found), []
    problem = _contract_problem(name, text, kind, is_path) if kind is not Kind.OTHER else None
    if problem is None and _NOT_SUBSTITUTED.fullmatch(text):
        problem = _not_substituted(name, kind, text)
    doubts = [
        Note(
            "warning",
            name,
            f"{name}={_shown(text)} contains {each}. Is it a paste of {each.meant}?",
        )
        for each in found[:1]
    ]
    if kind is Kind.KEY and _is_encoded_text(text):
        message = (
            f"{name} is the base64 of a readable text. Clients must send it as it is here. If a "
            "Secret has it encoded twice, use stringData instead of data."
        )
        doubts.append(Note("warning", name, message))
    return problem, doubts


def _contract_problem(name: str, text: str, kind: Kind, is_path: bool) -> SettingError | None:
    """Return why a value of our own variables is surely not what was meant."""
    if text.startswith(f"{name}="):
        return _error(
            name, kind, text, "repeats the variable's name", meant=text.removeprefix(f"{name}=")
        )
    if _NOT_SUBSTITUTED.fullmatch(text) or (kind not in SECRET and _REFERENCE.search(text)):
        return _not_substituted(name, kind, text)
    if text.casefold() in _NOTHING:
        hint = (
            f"Unset {name}, or leave it empty. An empty value in a template often gives this word."
        )
        return _error(name, kind, text, f"is the word {text.casefold()}", hint=hint)
    if _PLACEHOLDER.fullmatch(text) or (kind in SECRET and _SECRET_PLACEHOLDER.fullmatch(text)):
        return _error(name, kind, text, "is a placeholder", hint=f"Set {name} to the real value.")
    if kind in SECRET:
        return _secret_problem(name, text, kind)
    if kind in (Kind.WORD, Kind.MODEL) and not is_path and (comment := _COMMENT.search(text)):
        hint = "docker run --env-file keeps comments. Write the comment on its own line."
        meant = text[: comment.start()].strip("\"'")
        return _error(name, kind, text, "contains a comment", hint=hint, meant=meant)
    return None


def _secret_problem(name: str, text: str, kind: Kind) -> SettingError | None:
    if text.casefold().startswith("bearer "):
        return _error(
            name, kind, text, "starts with Bearer", hint="Remove that word: only clients send it."
        )
    if kind is not Kind.TOKEN:
        return None
    for encoded, plain in _ENCODED.items():
        if text.startswith(encoded):
            hint = (
                "In a Kubernetes Secret, write the token itself under stringData, or encode it "
                "once under data."
            )
            what = f"is base64: it starts with {encoded}, which stands for {plain}"
            return _error(name, kind, text, what, hint=hint)
    if any(character in text for character in EDGES):
        return _error(name, kind, text, "contains a blank", hint="Copy the token again.")
    return None


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", "~", ".")) or "://" in text


def _is_encoded_text(text: str) -> bool:
    if len(text) < 12 or len(text) % 4:
        return False
    try:
        plain = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return all(32 <= byte < 127 or byte in b"\r\n" for byte in plain)


def _edges(value: str) -> str:
    """Say what was removed from the edges of a value."""
    start = value[: len(value) - len(value.lstrip(EDGES))]
    end = value[len(value.rstrip(EDGES)) :]
    has_break = set(start + end) & {"\r", "\n"}
    removed, were = ("a line break", "was") if has_break else ("blanks", "were")
    where = " and ".join(
        place for place, part in (("start", start), ("end", end)) if part and value.strip(EDGES)
    )
    return f"{removed} at its {where or 'start'}, which {were} removed"


def _note(name: str, what: str) -> Note:
    return Note("info", name, f"{name} has {what}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")


def _error(
    name: str, kind: Kind, text: str, what: str, *, meant: str | None = None, hint: str = ""
) -> SettingError:
    """Word what is wrong with a value, without showing a secret."""
    named = name if kind in SECRET else f"{name}={_shown(text)}"
    if meant is not None and kind not in SECRET:
        hint = f"{hint} Set {name} to: {meant}".lstrip()
    return SettingError(
        f"{named} {what}.", variable=name, hint=hint or f"Set {name} to the value alone."
    )


def _not_substituted(name: str, kind: Kind, text: str) -> SettingError:
    return _error(
        name,
        kind,
        text,
        "contains a variable that was not replaced by its value",
        hint="Env files and Kubernetes do not expand ${NAME}, and Kubernetes expands $(NAME) only "
        f"if NAME is set before. Set {name} to the value itself.",
    )


def _unusual_error(name: str, kind: Kind, text: str, found: list[Unusual]) -> SettingError:
    first = found[0]
    more = f", and {len(found) - 1} more such" if len(found) > 1 else ""
    meant = corrected(text, found)
    if meant is not None:
        meant = meant.strip(EDGES)
    hint = "Such a character comes from pasting, or from a file with another encoding."
    if meant is None or kind in SECRET:
        hint += " Type the value again."
    if kind in SECRET and "\n" in text:
        hint = "The value must be one line. For several keys, set API_KEY_FILE."
    return _error(name, kind, text, f"contains {first}{more}", meant=meant, hint=hint)
