"""URIs of objects in a store, and the conventional key of a model's tarball."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import unquote, urlsplit

from entrypoint.errors import UsageError
from entrypoint.store.disk.tarball_names import without_suffix

Store = Literal["s3", "gs", "az"]

SCHEMES: dict[str, Store] = {"s3": "s3", "gs": "gs", "gcs": "gs"} | dict.fromkeys(
    ("az", "abfs", "abfss"), "az"
)  # type: ignore[assignment]  # fromkeys forgets the literal
EXAMPLES = (
    "s3://bucket/key, gs://bucket/key, az://container/key or "
    "https://ACCOUNT.blob.core.windows.net/container/key"
)
_AZURE_HOST = re.compile(r"(?P<account>[a-z0-9-]+)\.(?:blob|dfs)\.core\.windows\.net", re.I)
_FOLDER = "models"
_SHORT_REVISION = 7


@dataclass(frozen=True, slots=True)
class ObjectUri:
    """An object, or a folder of objects, in a store.

    Attributes:
        store: The kind of store.
        bucket: The bucket; Azure's container.
        key: The name in the bucket; empty for the bucket itself, ending in ``/`` for a folder.
        account: Azure's storage account, if the URI has one.
        sas: Azure's shared access signature, if the URI has one. A secret: never shown.
    """

    store: Store
    bucket: str
    key: str
    account: str | None = None
    sas: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the URI without its secret."""
        if self.account:
            return f"https://{self.account}.blob.core.windows.net/{self.bucket}/{self.key}"
        return f"{self.store}://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last component of the key."""
        return self.key.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The key up to its last ``/``, with that; empty if it has none."""
        return self.key[: -len(self.name)] if self.name else self.key

    @property
    def is_folder(self) -> bool:
        """Whether this is a bucket or a folder, not an object."""
        return not self.name

    def with_key(self, key: str) -> ObjectUri:
        """Return the object with another key in the same bucket."""
        return replace(self, key=key)


def is_uri(model_id: str) -> bool:
    """Return whether MODEL_ID is a URI."""
    return "://" in model_id


def is_object_uri(text: str) -> bool:
    """Return whether ``text`` is the URI of an object that can be downloaded."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return False
    if scheme.lower() in SCHEMES:
        return True
    return scheme.lower() == "https" and bool(_AZURE_HOST.match(rest))


def parse_uri(text: str) -> ObjectUri:
    """Parse the URI of an object or a folder.

    Raises:
        UsageError: It is not such a URI, or has no bucket.
    """
    shown = without_secret(text)
    if not is_object_uri(text):
        raise UsageError(
            f"{shown!r} is not the URI of an object in a store.", hint=f"Write it as {EXAMPLES}."
        )
    scheme, _, rest = text.partition("://")
    if scheme.lower() == "https":
        parts = urlsplit(text)
        account = _account(parts.netloc)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        uri = ObjectUri("az", bucket, key, account, parts.query or None)
    else:
        host, _, key = rest.partition("/")
        bucket, at, endpoint = host.partition("@")
        uri = ObjectUri(SCHEMES[scheme.lower()], bucket, key, _account(endpoint) if at else None)
    if not uri.bucket:
        raise UsageError(f"{shown!r} has no bucket.", hint=f"Write it as {EXAMPLES}.")
    return uri


def without_secret(text: str) -> str:
    """Return a URI as it can be shown: without a password or a shared access signature."""
    if not text.lower().startswith(("https://", "http://")):
        return text
    scheme, _, rest = text.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def name_in_uri(text: str) -> str:
    """Return the model's name in a URI: the last component, without a tarball's suffix.

    The tag and the digest of an image are not part of it.
    """
    name = without_secret(text).rstrip("/").rpartition("/")[2]
    if text.startswith("oci://"):
        name = name.partition("@")[0].partition(":")[0]
    return without_suffix(name)


def _account(host: str) -> str | None:
    match = _AZURE_HOST.fullmatch(host)
    return match["account"] if match else None


def conventional_key(
    folder: str, family: str, revision: str, repository: str, suffix: str = ".tar"
) -> str:
    """Return ``models/<family>/<revision7>/<org>--<name>.tar`` below ``folder``.

    If the folder's own name is ``models``, no other ``models`` is added.

    Args:
        folder: Empty, or ending in ``/``.
        family: The model's family, such as ``falcon``.
        revision: The commit; the key has its first seven characters.
        repository: ``org/name``.
        suffix: The tarball's suffix.
    """
    if folder.rstrip("/").rpartition("/")[2] != _FOLDER:
        folder += f"{_FOLDER}/"
    name = repository.replace("/", "--")
    return f"{folder}{family}/{revision[:_SHORT_REVISION]}/{name}{suffix}"


def repository_in_name(uri: ObjectUri) -> str:
    """Return the repository in a tarball's name by convention: ``org/name``.

    If the name has no ``--``, it is returned without its suffix.
    """
    return name_in_uri(uri.name).replace("--", "/", 1)
