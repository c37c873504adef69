"""Masks secrets in everything that is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from entrypoint.arg.config_file import read_config_file
from entrypoint.arg.words import split
from entrypoint.environment.arg_text import unusual_in_arg
from entrypoint.errors import SettingError
from entrypoint.settings import Settings, is_secret, variables
from entrypoint.shared.characters import QUOTES, corrected
from entrypoint.shared.keys import read_keys, stamp

MASK = "***"
SECRET_OPTIONS = frozenset({"--api-key", "--hf-token", "--watermark-config"})
"""The options whose values vLLM masks in its own log."""
SECRET_NAMES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "S3_SECRET_ACCESS_KEY",
    "VLLM_API_KEY",
)
"""Variables that the clients of the object stores and vLLM read themselves."""
SHORTEST = 4
"""Minimum length of a secret. Masking shorter words would garble messages."""
SHORTEST_GUESSED = 8
"""Minimum length of a secret that is recognized only by its variable's name."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|SECRET_KEY"
    r"|ACCOUNT_KEY|PRIVATE_KEY|CONNECTION_STRING)$",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(?:^|://)[^\s/@:'\"]*:([^\s/@'\"]+)@(?!sha256:)")
"""The password in ``user:password@host``, with or without a scheme. Not an image's tag."""
_USER_TOKEN = re.compile(r"https?://([^\s/@:'\"]+)@")
"""A token in place of the user name. ``abfss`` URIs have the container there."""
_SIGNED = re.compile(
    r"(?:^|[?&;])(?:sig|X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature)=([^&\s'\"]+)",
    re.IGNORECASE,
)
"""The signature in a signed URI."""
_IN_CONNECTION = re.compile(r"(?:AccountKey|SharedAccessKey)=([^;\s'\"]+)", re.IGNORECASE)
"""The key in an Azure connection string."""
_IN_ARG = re.compile(
    r"--(?:api[-_]key|hf[-_]token|watermark[-_]config)[=\s]+(.*?)(?=\s-|$)", re.DOTALL
)

_AROUND = "'\"\\" + "".join(QUOTES)


def secrets_of(environ: Mapping[str, str]) -> set[str]:
    """Return the secrets in an environment.

    These are the secret variables, the keys in API_KEY_FILE, secret options in ARG (even if ARG
    cannot be split) and in its configuration file, passwords and signatures in URIs, and variables
    with the name of a secret.
    """
    found = set(_named(environ)) | set(keys_in_file(environ))
    arg = environ.get("ARG", "")
    found |= set(_in_arg(arg)) | set(_in_arg(corrected(arg, unusual_in_arg(arg)) or ""))
    for value in environ.values():
        for secret in _in_value(value):
            found |= {secret, unquote(secret)}
    known = {line for secret in found for line in (secret, *secret.splitlines())}
    guessed = {
        value
        for name, value in environ.items()
        if _SECRET_NAME.search(name) and len(value) >= SHORTEST_GUESSED
    }
    return {secret for secret in known if len(secret) >= SHORTEST} | guessed


def keys_in_file(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys in API_KEY_FILE, none if the file cannot be read."""
    try:
        return read_keys(Path(environ["API_KEY_FILE"])) if environ.get("API_KEY_FILE") else ()
    except ValueError:
        return ()


def is_secret_variable(name: str) -> bool:
    """Whether a variable's value is a secret, by its name."""
    return name in _secret_names() or _SECRET_NAME.search(name) is not None


def _secret_names() -> tuple[str, ...]:
    fields = (variables(field) for field in Settings.model_fields if is_secret(field))
    return (*(name for names in fields for name in names), *SECRET_NAMES)


def _named(environ: Mapping[str, str]) -> Iterator[str]:
    for name in _secret_names():
        yield environ.get(name, "")


def _in_value(value: str) -> Iterator[str]:
    for pattern in (_PASSWORD, _SIGNED, _IN_CONNECTION):
        yield from pattern.findall(value)
    yield from (token for token in _USER_TOKEN.findall(value) if len(token) >= SHORTEST_GUESSED)


def _in_arg(arg: str) -> Iterator[str]:
    try:
        words = split(arg)
    except SettingError:  # its message must not show the secret
        for values in _IN_ARG.findall(arg):
            yield from (word.strip(_AROUND) for word in values.split())
        return
    option = ""
    for word in words:
        value = word
        if word.startswith("-"):
            option, _, value = word.partition("=")
            option = option.replace("_", "-")
        if option in SECRET_OPTIONS:
            yield value
        elif option == "--config":
            yield from _in_config_file(value)


def _in_config_file(path: str) -> Iterator[str]:
    """Yield the values of secret options in the file that ``--config`` names."""
    try:
        entries = read_config_file(path).entries
    except SettingError:
        return
    for entry in entries:
        if "--" + entry.key.replace("_", "-") in SECRET_OPTIONS:
            values = entry.value if isinstance(entry.value, list) else [entry.value]
            yield from map(str, values)
            yield entry.written or ""


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text with every secret masked."""
    pattern = _pattern(secrets)
    return pattern.sub(MASK, text) if pattern else text


def _written(secrets: Iterable[str]) -> list[str]:
    """Return each secret as it appears in plain text, URIs, JSON and Python, the longest first,
    because one may be a prefix of another."""
    forms = {
        form
        for secret in secrets
        for form in (
            secret,
            quote(secret, safe="", errors="surrogateescape"),
            quote(secret, errors="surrogateescape"),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
        )
    }
    return sorted(forms, key=len, reverse=True)


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern that matches each secret in each of its forms."""
    written = _written(secrets)
    return re.compile("|".join(map(re.escape, written))) if written else None


class Redactor:
    """Masks the secrets of an environment in many texts, with one search each.

    Also masks keys that are later added to API_KEY_FILE or removed from it.
    """

    def __init__(self, environ: Mapping[str, str]):
        self._environ = dict(environ)
        file = environ.get("API_KEY_FILE")
        self._file = Path(file) if file else None
        self._stamp = stamp(self._file) if self._file else None
        self._secrets = secrets_of(environ)
        self._pattern = _pattern(self._secrets)

    def every(self, value: Any) -> Any:
        """Return a document of lists and dictionaries with every secret masked."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {name: self.every(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.every(each) for each in value]
        return value

    def __call__(self, text: str) -> str:
        """Return a text with every secret masked."""
        if self._file is not None and (now := stamp(self._file)) != self._stamp:
            self._stamp = now
            self._secrets |= {key for key in keys_in_file(self._environ) if len(key) >= SHORTEST}
            self._pattern = _pattern(self._secrets)
        return self._pattern.sub(MASK, text) if self._pattern else text

    def output(self, data: bytes) -> bytes:
        """Return output with every secret masked and every other byte unchanged."""
        text = data.decode(errors="surrogateescape")
        return self(text).encode(errors="surrogateescape")

    @property
    def longest(self) -> int:
        """Length of the longest form of a secret, in bytes."""
        written = _written(self._secrets)
        return max((len(form.encode(errors="surrogateescape")) for form in written), default=0)
