"""The address of an object in a store, and where a model's tarball lies there by convention."""

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
        store: Whose it is.
        bucket: The bucket, Azure's container.
        key: The name in it; empty for the bucket itself, ending in ``/`` for a folder.
        account: Azure's storage account, where the URI names it.
        sas: Azure's shared access signature, where the URI has one. A secret: never shown.
    """

    store: Store
    bucket: str
    key: str
    account: str | None = None
    sas: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The URI without its secret."""
        if self.account:
            return f"https://{self.account}.blob.core.windows.net/{self.bucket}/{self.key}"
        return f"{self.store}://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last component of the key."""
        return self.key.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The key up to and with its last ``/``; empty where it has none."""
        return self.key[: -len(self.name)] if self.name else self.key

    @property
    def is_folder(self) -> bool:
        """Whether it names a bucket or a folder, not an object."""
        return not self.name

    def with_key(self, key: str) -> ObjectUri:
        """Return another object of the same bucket."""
        return replace(self, key=key)


def is_uri(model_id: str) -> bool:
    """Return whether MODEL_ID is a URI."""
    return "://" in model_id


def is_object_uri(text: str) -> bool:
    """Whether ``text`` is written as the URI of an object that can be fetched."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return False
    if scheme.lower() in SCHEMES:
        return True
    return scheme.lower() == "https" and bool(_AZURE_HOST.match(rest))


def parse_uri(text: str) -> ObjectUri:
    """Read the URI of an object or a folder.

    Raises:
        UsageError: It is none, or names no bucket.
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
        raise UsageError(f"{shown!r} names no bucket.", hint=f"Write it as {EXAMPLES}.")
    return uri


def without_secret(text: str) -> str:
    """Return a URI as it may be shown: Azure's shared access signature is left out."""
    return text.partition("?")[0] if text.lower().startswith("https://") else text


def name_in_uri(text: str) -> str:
    """Return what a model is called by its URI: the last component, without what packs it.

    An image's tag and digest are left out.
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

    A folder that is called ``models`` already is taken for the one of the convention.

    Args:
        folder: Empty, or ending in ``/``.
        family: The model's family, as ``falcon``.
        revision: The commit; its first seven characters are taken.
        repository: ``org/name``.
        suffix: What says how the tarball is packed.
    """
    if folder.rstrip("/").rpartition("/")[2] != _FOLDER:
        folder += f"{_FOLDER}/"
    name = repository.replace("/", "--")
    return f"{folder}{family}/{revision[:_SHORT_REVISION]}/{name}{suffix}"


def repository_in_name(uri: ObjectUri) -> str:
    """Return the repository that a tarball's name says by convention: ``org/name``.

    Without ``--`` in it, the name without what says that it is a tarball.
    """
    return name_in_uri(uri.name).replace("--", "/", 1)
