"""An S3-compatible store for the tests, with a bucket in it, and an environment that leads there.

What only these fixtures need is imported by them: it takes a second.
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.object_stores import S3StandIn


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3StandIn]:
    import moto.s3.models

    from tests.support.object_stores import MIB, serve_s3

    # S3 takes no part below 5 MiB, which test_parts asserts of those that are chosen; here
    # smaller ones make the tests fast.
    with pytest.MonkeyPatch.context() as patch, serve_s3() as server:
        patch.setattr(moto.s3.models, "S3_UPLOAD_PART_MIN_SIZE", MIB)
        yield server


@pytest.fixture(scope="session")
def loader() -> Any:
    """What reads botocore's descriptions of the services, which takes it long each time."""
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


@pytest.fixture
def s3(
    s3_server: S3StandIn, loader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3StandIn]:
    import boto3
    import botocore.session

    from entrypoint.store.objects import retry
    from tests.support.object_stores import BUCKET, open_s3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.address,
        "AWS_ACCESS_KEY_ID": "AKIA-of-the-test",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    session = boto3.session.Session

    def with_loader() -> Any:
        inner = botocore.session.Session()
        inner.register_component("data_loader", loader)
        return session(botocore_session=inner)

    monkeypatch.setattr(boto3.session, "Session", with_loader)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    reset = urllib.request.Request(f"{s3_server.address}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    open_s3().client.create_bucket(Bucket=BUCKET)
    s3_server.requests.clear()
    yield s3_server
    s3_server.fault = lambda asked: None
