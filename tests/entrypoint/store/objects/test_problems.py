"""The errors of object stores: what each one names, and what it advises."""

from __future__ import annotations

import pytest

from entrypoint.errors import InferenceServerError
from entrypoint.store.objects import problems
from entrypoint.store.uri import ObjectUri, parse_uri

S3 = parse_uri("s3://bucket/models/a.tar")
AZURE = parse_uri("az://container/models/a.tar")
Keys = list[tuple[str, int]]


def keys(*names: str) -> Keys:
    return [(name, 1024) for name in names]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (problems.no_bucket(S3), "model-not-found", "no bucket 'bucket'"),
        (problems.no_bucket(AZURE), "model-not-found", "no container 'container'"),
        (problems.denied(S3, "HTTP 403"), "store", "denies these credentials access to"),
        (problems.no_credentials(S3, "none found"), "store", "No credentials"),
        (problems.unreachable(S3, "http://s3", "refused"), "store", "did not answer at http://s3"),
        (problems.refused(S3, "HTTP 500"), "store", "HTTP 500"),
        (problems.changed(S3), "store", "changed"),
        (
            problems.missing_extra(S3, "s3", ModuleNotFoundError("no", name="boto3")),
            "machine",
            "boto3 is not installed",
        ),
    ],
)
def test_each_error_names_the_object_and_a_fix(
    error: InferenceServerError, code: str, words: str
) -> None:
    assert error.code == code
    assert words in error.message
    assert "://" in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("uri", "variable"), [(S3, "AWS_ACCESS_KEY_ID"), (AZURE, "AZURE_STORAGE_ACCOUNT_NAME")]
)
def test_the_credentials_of_the_store_are_advised(uri: ObjectUri, variable: str) -> None:
    assert variable in (problems.denied(uri, "").hint or "")
    assert variable in (problems.no_credentials(uri, "").hint or "")


def test_a_missing_key_shows_the_folder_and_the_nearest_key() -> None:
    def found(folder: str) -> Keys:
        return keys("models/b.tar", "models/other.tar") if folder == "models/" else []

    error = problems.no_object(S3, found)
    assert error.nearest == "s3://bucket/models/b.tar"
    assert set(error.available) == {"s3://bucket/models/b.tar", "s3://bucket/models/other.tar"}


def test_a_folder_is_not_an_object() -> None:
    def found(folder: str) -> Keys:
        return keys("models/a.tar/b") if folder == "models/a.tar/" else keys("models/c.tar")

    error = problems.no_object(S3, found)
    assert "is a folder" in error.message
    assert set(error.available) == {"s3://bucket/models/a.tar/b"}


def test_an_empty_bucket_is_reported() -> None:
    error = problems.no_object(S3, lambda folder: [])
    assert "empty" in error.message
    assert error.nearest is None
