"""One object in S3: its state, its bytes, and which errors are retried."""

from __future__ import annotations

from typing import Any

import pytest

from entrypoint.errors import ModelNotFound, SettingError, StoreError
from entrypoint.store.objects import retry
from entrypoint.store.objects.retry import Transient
from entrypoint.store.objects.s3 import S3Object, make_client
from entrypoint.store.objects.store import ObjectState
from entrypoint.store.uri import parse_uri
from tests.support.object_stores import BUCKET, KEY, MIB, URI, S3StandIn, settings


def an_object(uri: str = URI) -> S3Object:
    return S3Object(parse_uri(uri), settings(), 2)


def put(content: bytes, **arguments: Any) -> None:
    an_object().client.put_object(Bucket=BUCKET, Key=KEY, Body=content, **arguments)


def found() -> ObjectState:
    state = an_object().find()
    assert state is not None
    return state


class TestFind:
    def test_the_sha256_comes_from_the_metadata(self, s3: S3StandIn) -> None:
        put(b"content", Metadata={"sha256": "ab"})
        state = found()
        assert (state.size, state.sha256, state.md5) == (7, "ab", None)

    def test_the_md5_comes_from_the_etag(self, s3: S3StandIn) -> None:
        put(b"content")
        state = found()
        assert state.md5 == state.etag.strip('"') == "9a0364b9e99bb480dd25e1f0284c8555"
        assert state.md5_part_size is None

    def test_the_etag_of_parts_has_their_size(self, s3: S3StandIn) -> None:
        upload = an_object().ask("create_multipart_upload")["UploadId"]
        parts = []
        for number, size in enumerate((MIB, 5), start=1):
            part = {"UploadId": upload, "PartNumber": number}
            answer = an_object().ask("upload_part", Body=bytes(size), **part)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        an_object().ask(
            "complete_multipart_upload",
            UploadId=upload,
            MultipartUpload={"Parts": parts},
        )
        state = found()
        assert state.md5 is not None
        assert state.md5.endswith("-2")
        assert state.md5_part_size == MIB

    def test_the_etag_of_an_encrypted_object_is_no_md5(self, s3: S3StandIn) -> None:
        put(b"content", ServerSideEncryption="aws:kms")
        assert found().md5 is None

    def test_a_missing_key_is_none(self, s3: S3StandIn) -> None:
        assert an_object().find() is None

    def test_a_missing_bucket_is_an_error(self, s3: S3StandIn) -> None:
        with pytest.raises(ModelNotFound, match="no bucket"):
            an_object("s3://no-such-bucket/a").find()


class TestRead:
    def test_a_range_is_read(self, s3: S3StandIn) -> None:
        put(b"0123456789")
        assert b"".join(an_object().read(found(), 2, 5)) == b"234"

    def test_another_state_is_refused(self, s3: S3StandIn) -> None:
        put(b"0123456789")
        state = found()
        put(b"9876543210")
        with pytest.raises(StoreError, match="changed"):
            list(an_object().read(state, 2, 5))

    @pytest.mark.parametrize("code", ["cut", "SlowDown"])
    def test_a_failure_that_may_pass_is_transient(self, s3: S3StandIn, code: str) -> None:
        put(b"0123456789")
        state = found()
        s3.fault = lambda asked: code
        with pytest.raises(Transient):
            list(an_object().read(state, 0, 10))


class TestAsk:
    def test_a_busy_store_is_asked_again(self, s3: S3StandIn) -> None:
        s3.fault = lambda asked: "SlowDown" if len(s3.requests) < 3 else None
        assert an_object().find() is None
        assert s3.requests[0].method == "HEAD"
        assert len(s3.requests) > 2

    def test_a_denied_request_is_not_repeated(self, s3: S3StandIn) -> None:
        s3.fault = lambda asked: "AccessDenied"
        with pytest.raises(StoreError, match="denies"):
            an_object().ask("head_object")
        assert len(s3.requests) == 1

    def test_an_unknown_upload_is_none(self, s3: S3StandIn) -> None:
        answer = an_object().ask_if_there("list_parts", UploadId="none")
        assert answer is None

    def test_an_unreachable_store_is_asked_a_few_times(
        self, s3: S3StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(StoreError, match=r"did not answer at http://127\.0\.0\.1:1"):
            an_object().find()
        assert len(caplog.records) == retry.ATTEMPTS - 1


class TestKeys:
    def test_keys_have_their_sizes(self, s3: S3StandIn) -> None:
        put(b"content")
        assert an_object().keys("models/") == [(KEY, 7)]

    def test_keys_that_may_not_be_listed_are_none(self, s3: S3StandIn) -> None:
        put(b"content")
        s3.fault = lambda asked: "AccessDenied"
        assert an_object().keys("models/") == []


class TestClient:
    @pytest.mark.parametrize(
        ("variables", "address"),
        [
            ({"S3_ENDPOINT": "objects.example.com"}, "https://objects.example.com"),
            (
                {"S3_ENDPOINT": "objects.example.com", "S3_USE_HTTPS": "0"},
                "http://objects.example.com",
            ),
            ({"S3_ENDPOINT": "http://objects.example.com"}, "http://objects.example.com"),
        ],
    )
    def test_the_endpoint_comes_from_the_settings(
        self, s3: S3StandIn, variables: dict[str, str], address: str
    ) -> None:
        client = make_client(parse_uri(URI), settings(**variables), 2)
        assert client.meta.endpoint_url == address

    def test_an_invalid_endpoint_is_a_wrong_setting(self, s3: S3StandIn) -> None:
        with pytest.raises(SettingError, match="S3_ENDPOINT") as caught:
            make_client(parse_uri(URI), settings(S3_ENDPOINT="http://["), 2)
        assert caught.value.variable == "S3_ENDPOINT"
