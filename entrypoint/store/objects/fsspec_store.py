"""Azure and Google Cloud, by their fsspec file systems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from entrypoint.errors import InferenceServerError
from entrypoint.settings import Settings
from entrypoint.store.objects import problems
from entrypoint.store.objects.retry import Transient, retrying
from entrypoint.store.objects.store import SHA256, Advance, ObjectState
from entrypoint.store.uri import ObjectUri

CHUNK = 8 << 20
EXTRAS = {"az": ("azure", "adlfs", "AzureBlobFileSystem"), "gs": ("gcs", "gcsfs", "GCSFileSystem")}
"""The extra, the package and the class for each store."""

SIGNATURE = re.compile(r"(\bsig=)[^&\s'\"]+")
"""The secret in a URL that a client shows in its error."""
UNREACHABLE = ("aiohttp.", "azure.core.exceptions.ServiceRe", "requests.exceptions.")
"""Prefixes of the names of the clients' errors for a store that did not answer."""
WITHOUT_CREDENTIALS = (
    "google.auth.exceptions.",
    "azure.core.exceptions.ClientAuthenticationError",
    "azure.identity.",
)


def open_filesystem_store(uri: ObjectUri, settings: Settings) -> FilesystemStore:
    """Return the store of an object, by its fsspec file system.

    Raises:
        MachineError: The store's package is not installed.
        StoreError: There are no credentials to make a client with.
    """
    extra, package, name = EXTRAS[uri.store]
    try:
        kind = getattr(import_module(package), name)
    except ModuleNotFoundError as error:
        raise problems.missing_extra(uri, extra, error) from error
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if uri.store == "az":
        key = settings.azure_storage_access_key
        options |= {"account_name": uri.account, "sas_token": uri.sas}
        options |= {"account_key": key.get_secret_value() if key else None}
    try:
        return FilesystemStore(uri, kind(**options))
    except ValueError as error:  # adlfs, without an account
        raise problems.no_credentials(uri, "no account name and no connection string") from error


class FilesystemStore:
    """One object. See :class:`~entrypoint.store.objects.store.ObjectStore`.

    Args:
        uri: The object.
        filesystem: An fsspec file system with paths ``bucket/key`` and the metadata of ``adlfs``
            and ``gcsfs``.
    """

    def __init__(self, uri: ObjectUri, filesystem: Any):
        self.uri = uri
        self._filesystem = filesystem
        self._path = f"{uri.bucket}/{uri.key}"

    def find(self) -> ObjectState | None:
        """Return the object's state, None if it does not exist."""

        def once() -> dict[str, Any] | None:
            with self._translated():
                self._filesystem.invalidate_cache()
                try:
                    found: dict[str, Any] = self._filesystem.info(self._path)
                except FileNotFoundError:
                    if not self._filesystem.exists(self.uri.bucket):
                        raise problems.no_bucket(self.uri) from None
                    return None
                return found if found["type"] == "file" else None

        found = retrying(f"info {self.uri}", once)
        if found is None:
            return None
        marks = (found.get(name) for name in ("etag", "generation", "mtime", "created"))
        return ObjectState(
            size=int(found["size"]),
            etag=str(next(filter(None, marks), "")),
            version=str(found["generation"]) if found.get("generation") else None,
            sha256=(found.get("metadata") or {}).get(SHA256),
        )

    def read(self, state: ObjectState, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of ``[start, end)``.

        The stores cannot read a certain state. A change is detected after the transfer.
        """
        for begin in range(start, end, CHUNK):
            with self._translated():
                chunk: bytes = self._filesystem.cat_file(
                    self._path, start=begin, end=min(begin + CHUNK, end)
                )
            if len(chunk) > end - begin:
                raise problems.refused(self.uri, "the store does not support ranges of bytes")
            yield chunk

    def keys(self, folder: str) -> list[tuple[str, int]]:
        """Return the keys directly in ``folder``, and their sizes in bytes."""
        try:
            entries = self._filesystem.ls(f"{self.uri.bucket}/{folder}", detail=True)
        except Exception:  # the keys are for another error, which must not be hidden by this one
            return []
        return [
            (entry["name"].strip("/").partition("/")[2], int(entry["size"] or 0))
            for entry in entries
            if entry["name"].strip("/") != self.uri.bucket
        ]

    def put(self, source: Path, sha256: str, scratch: Path, workers: int, advance: Advance) -> int:
        """Upload a file with the file system's own method, which cannot resume an upload."""
        from fsspec.callbacks import Callback

        done = 0

        class Report(Callback):  # type: ignore[misc]  # fsspec has no types
            def absolute_update(self, value: int) -> None:
                nonlocal done
                advance(value - done)
                done = value

            def relative_update(self, inc: int = 1) -> None:
                self.absolute_update(done + inc)

        size = source.stat().st_size
        metadata = {SHA256: sha256}

        def once() -> None:
            nonlocal done
            advance(-done)
            done = 0
            with self._translated():
                if self.uri.store == "gs":
                    self._filesystem.put_file(
                        str(source), self._path, callback=Report(), metadata=metadata
                    )
                else:
                    # adlfs accepts no metadata with the file, and its own entry must stay
                    self._filesystem.put_file(str(source), self._path, callback=Report())
                    self._filesystem.setxattrs(self._path, is_directory="false", **metadata)

        retrying(f"put {self.uri}", once)
        advance(size - done)
        return size

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (InferenceServerError, Transient):
            raise
        except FileNotFoundError as error:
            raise problems.no_object(self.uri, self.keys) from error
        except Exception as error:
            raise self._error_of(error) from error

    def _error_of(self, error: Exception) -> InferenceServerError | Transient:
        """The error for a client's exception; the clients share no base class."""
        detail = " ".join(str(error).split()) or type(error).__name__
        detail = SIGNATURE.sub(r"\1***", detail)
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        if status in (401, 403) or isinstance(error, PermissionError):
            return problems.denied(self.uri, detail)
        if name.startswith(WITHOUT_CREDENTIALS):
            return problems.no_credentials(self.uri, detail)
        if isinstance(error, ConnectionError | TimeoutError) or name.startswith(UNREACHABLE):
            endpoint = "its service's endpoint"
            return Transient(problems.unreachable(self.uri, endpoint, detail), detail)
        answer = problems.refused(self.uri, detail)
        retryable = isinstance(status, int) and (status == 429 or status >= 500)
        return Transient(answer, detail) if retryable else answer
