"""Opening a store: each URI gets its own, and a missing package names its extra."""

from __future__ import annotations

import sys

import pytest

from entrypoint.errors import MachineError
from entrypoint.store.objects.fsspec_store import FilesystemStore
from entrypoint.store.objects.multipart import S3Store
from entrypoint.store.objects.opening import open_store
from entrypoint.store.uri import parse_uri
from tests.support.object_stores import S3StandIn, settings


def test_s3_is_opened_without_a_request(s3: S3StandIn) -> None:
    assert isinstance(open_store(parse_uri("s3://b/a.tar"), settings(), 2), S3Store)
    assert s3.requests == []


def test_azure_is_opened_by_fsspec() -> None:
    uri = parse_uri("https://acc.blob.core.windows.net/c/a.tar?sig=abcd")
    store = open_store(uri, settings(), 2)
    assert isinstance(store, FilesystemStore)
    assert store.uri == uri


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [
        ("s3://b/a.tar", "boto3", "s3"),
        ("az://b/a.tar", "adlfs", "azure"),
        ("gs://b/a.tar", "gcsfs", "gcs"),
    ],
)
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, uri: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in ("multipart", "s3"):
        monkeypatch.delitem(sys.modules, f"entrypoint.store.objects.{name}", raising=False)
    with pytest.raises(MachineError, match=package) as caught:
        open_store(parse_uri(uri), settings(), 2)
    assert f"pip install 'inference-server[{extra}]'" in (caught.value.hint or "")
