"""Finding and fetching models, also out of a tarball in a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import InferenceServerError
from entrypoint.store.fetch import fetch_model
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import ignore_progress
from entrypoint.store.search.find import find_model
from tests.support.models import model_files, pack, write_snapshot
from tests.support.object_stores import BUCKET, KEY, open_s3


def stored(tmp_path: Path, compression: str = "plain", size: int = 16, key: str = KEY) -> None:
    """Put a tarball of Falcon into the bucket."""
    write_snapshot(tmp_path / "source", files=model_files(size=size))
    put(pack(tmp_path / "source", tmp_path / "packed", compression), key)


def put(archive: Path, key: str = KEY) -> None:
    """Put a tarball into the bucket."""
    open_s3().client.upload_file(str(archive), BUCKET, key)


def find_and_fetch(request: Request) -> Model:
    """Return the model of a request, on the disk."""
    return fetch_model(find_model(request), request, ignore_progress)


def failure(kind: type[InferenceServerError], request: Request) -> InferenceServerError:
    """Return the error of finding and fetching the model of a request."""
    with pytest.raises(kind) as caught:
        find_and_fetch(request)
    assert type(caught.value) is kind
    return caught.value
