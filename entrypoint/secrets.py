"""Keeps secrets out of what is printed, however they got into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from entrypoint.settings import Settings, is_secret, variables

MASK = "***"
SECRET_OPTIONS = frozenset({"--api-key", "--hf-token"})
STORE_SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
)
"""What the clients of the object stores read themselves."""
SHORTEST = 4
"""Characters that a secret has at least; masking shorter words would garble every message."""

_SIGNATURE = re.compile(r"[?&]sig=([^&\s]+)")
"""The part of Azure's shared access signature that is secret, in a URI."""
_IN_ARG = re.compile(r"--(?:api[-_]key|hf[-_]token)[=\s]+(.*?)(?=\s-|$)", re.DOTALL)


def secrets_of(environ: Mapping[str, str]) -> set[str]:
    """Return the secrets that an environment holds: secret variables, secret options in ARG, and
    the signatures in URIs.

    ARG is searched as it is written, so that one that cannot be split gives nothing away either.
    """
    names = [
        name for field in Settings.model_fields if is_secret(field) for name in variables(field)
    ]
    found = {environ.get(name, "") for name in (*names, *STORE_SECRETS)}
    for name in ("MODEL_ID", "STORAGE_URI", "AZURE_STORAGE_SAS_TOKEN"):
        found |= set(_SIGNATURE.findall(f"?{environ.get(name, '')}"))
    for values in _IN_ARG.findall(environ.get("ARG", "")):
        found |= {word.strip("'\"") for word in values.split()}
    return {secret for secret in found if len(secret) >= SHORTEST}


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text with every secret in it masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
