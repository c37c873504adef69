"""Open the store of an object: each store's client is imported only if it is needed."""

from __future__ import annotations

from entrypoint.settings import Settings
from entrypoint.store.objects.problems import missing_extra
from entrypoint.store.objects.store import ObjectStore
from entrypoint.store.uri import ObjectUri


def open_store(uri: ObjectUri, settings: Settings, workers: int) -> ObjectStore:
    """Return the store of an object. Nothing is requested from it yet.

    Raises:
        MachineError: The package for this store is not installed.
        SettingError: A setting for this store is wrong.
        StoreError: There are no credentials to make a client with.
    """
    if uri.store == "s3":
        try:
            from entrypoint.store.objects.multipart import S3Store
        except ModuleNotFoundError as error:
            raise missing_extra(uri, "s3", error) from error
        return S3Store(uri, settings, workers)
    from entrypoint.store.objects.fsspec_store import open_filesystem_store

    return open_filesystem_store(uri, settings)
