"""URIs of objects, and the conventional key."""

from __future__ import annotations

import pytest

from entrypoint.errors import UsageError
from entrypoint.store.uri import (
    ObjectUri,
    conventional_key,
    is_object_uri,
    parse_uri,
    repository_in_name,
)

SAS = "se=2030&sp=r&sig=c2VjcmV0"


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("s3://b/models/a.tar", ObjectUri("s3", "b", "models/a.tar")),
        ("S3://b", ObjectUri("s3", "b", "")),
        ("s3://b/a?b#c.tar", ObjectUri("s3", "b", "a?b#c.tar")),
        ("gs://b/a/", ObjectUri("gs", "b", "a/")),
        ("az://c/a.tar", ObjectUri("az", "c", "a.tar")),
        (
            "abfs://c@acc.dfs.core.windows.net/d/a.tar",
            ObjectUri("az", "c", "d/a.tar", account="acc"),
        ),
        (
            f"https://acc.blob.core.windows.net/c/d/a%20b.tar?{SAS}",
            ObjectUri("az", "c", "d/a b.tar", account="acc", sas=SAS),
        ),
    ],
)
def test_each_form_of_uri_is_parsed(text: str, uri: ObjectUri) -> None:
    assert is_object_uri(text)
    assert parse_uri(text) == uri


@pytest.mark.parametrize(
    "text", ["a.tar", "/s3/a.tar", "https://example.com/a.tar", "hf://a/b", "file:///a.tar"]
)
def test_other_text_is_not_an_object_uri(text: str) -> None:
    assert not is_object_uri(text)
    with pytest.raises(UsageError, match="not the URI of an object"):
        parse_uri(text)


def test_a_bucket_is_required() -> None:
    with pytest.raises(UsageError, match="has no bucket"):
        parse_uri("s3:///a.tar")


def test_the_signature_is_never_shown() -> None:
    uri = parse_uri(f"https://acc.blob.core.windows.net/c/a.tar?{SAS}")
    assert str(uri) == "https://acc.blob.core.windows.net/c/a.tar"
    assert "sig" not in repr(uri)
    with pytest.raises(UsageError) as caught:
        parse_uri(f"https://example.com/a.tar?{SAS}")
    assert "sig" not in caught.value.message


@pytest.mark.parametrize(
    ("key", "name", "folder", "is_folder"),
    [("", "", "", True), ("a/", "", "a/", True), ("a", "a", "", False), ("a/b", "b", "a/", False)],
)
def test_a_key_has_a_name_and_a_folder(key: str, name: str, folder: str, is_folder: bool) -> None:
    uri = ObjectUri("s3", "b", key)
    assert (uri.name, uri.folder, uri.is_folder) == (name, folder, is_folder)


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        ("", "models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"),
        ("team/", "team/models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"),
        ("models/", "models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"),
        ("a/models/", "a/models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"),
    ],
)
def test_the_conventional_key_is_below_one_folder_of_models(folder: str, key: str) -> None:
    commit = "cf4b3c42ce2fdfe24f753f0f0d179202fea59c99"
    assert conventional_key(folder, "falcon", commit, "tiiuae/falcon-7b-instruct") == key


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("tiiuae--falcon-7b-instruct.tar", "tiiuae/falcon-7b-instruct"),
        ("tiiuae--falcon-7b-instruct.tar.gz", "tiiuae/falcon-7b-instruct"),
        ("a--b--c.tgz", "a/b--c"),
        ("falcon-7b.tar", "falcon-7b"),
        ("falcon-7b", "falcon-7b"),
    ],
)
def test_a_tarball_s_name_gives_the_repository(name: str, repository: str) -> None:
    assert repository_in_name(parse_uri(f"s3://b/models/{name}")) == repository
