"""S3 and compatible stores, by boto3. This module is imported only if one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config

from entrypoint.errors import InferenceServerError, SettingError
from entrypoint.settings import Settings
from entrypoint.store.objects import problems
from entrypoint.store.objects.retry import Result, Transient, retrying
from entrypoint.store.objects.store import SHA256, ObjectState
from entrypoint.store.uri import ObjectUri

CHUNK = 1 << 20
SECONDS = 60
"""A request fails after this time without a byte from the store."""

NO_BUCKET = frozenset({"NoSuchBucket"})
NO_KEY = frozenset({"NoSuchKey", "404", "NotFound"})
DENIED = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "401",
        "403",
    }
)
RETRYABLE = frozenset(
    {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
)
"""Codes to retry, besides the statuses 429 and 500 and above."""

UNREACHABLE = (
    botocore.exceptions.ConnectionError,  # refused, no such host, TLS, proxy
    botocore.exceptions.HTTPClientError,  # cut, timed out
    botocore.exceptions.ResponseStreamingError,
    botocore.exceptions.IncompleteReadError,
)
WITHOUT_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.ConfigParseError,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.SSOError,
)


def make_client(uri: ObjectUri, settings: Settings, workers: int) -> Any:
    """Return a client without retries: :func:`retrying` retries, and logs that.

    Raises:
        SettingError: The endpoint is not a URL.
        StoreError: The profile does not exist.
    """
    scheme = "https" if settings.s3_use_https else "http"
    endpoint = settings.s3_endpoint
    if endpoint and "://" not in endpoint:
        endpoint = f"{scheme}://{endpoint}"
    config = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=workers + 1,
        connect_timeout=SECONDS,
        read_timeout=SECONDS,
        signature_version=UNSIGNED if settings.aws_anonymous_credential else None,
        s3={"addressing_style": "virtual"} if settings.s3_user_virtual_bucket else None,
    )
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint or None,
            verify=None if settings.s3_verify_ssl else False,
            config=config,
        )
    except WITHOUT_CREDENTIALS as error:
        raise problems.no_credentials(uri, _in_one_line(error)) from error
    except ValueError as error:
        variable = "S3_ENDPOINT" if settings.s3_endpoint else "AWS_ENDPOINT_URL"
        raise SettingError(
            f"{variable} is not a valid URL: {_in_one_line(error)}.",
            variable=variable,
            hint="Set it to a URL such as https://objects.example.com, or leave it empty for AWS.",
        ) from error


class S3Object:
    """One object in a bucket, to find and to read."""

    def __init__(self, uri: ObjectUri, settings: Settings, workers: int):
        self.uri = uri
        self.client = make_client(uri, settings, workers)

    @property
    def address(self) -> dict[str, str]:
        """The object, as arguments of the client's methods."""
        return {"Bucket": self.uri.bucket, "Key": self.uri.key}

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the client for the object, with retries.

        Raises:
            ModelNotFound: The object or its bucket does not exist.
            StoreError: The store did not answer or refused.
        """

        call = getattr(self.client, method)
        return self.retried(method, lambda: call(**self.address, **arguments))

    def ask_if_there(self, method: str, **arguments: Any) -> dict[str, Any] | None:
        """Call a method for an upload, with retries; return None if the upload no longer exists."""

        def once() -> dict[str, Any] | None:
            try:
                answer: dict[str, Any] = getattr(self.client, method)(**self.address, **arguments)
                return answer
            except self.client.exceptions.NoSuchUpload:
                return None

        return self.retried(method, once)

    def retried(self, what: str, ask: Callable[[], Result]) -> Result:
        """Ask the store, with retries; raise botocore's errors as ours."""
        return retrying(f"{what} {self.uri}", self.translated()(ask))

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise botocore's errors as ours, as :class:`Transient` where a retry may succeed."""
        try:
            yield
        except botocore.exceptions.ClientError as error:
            raise self._error_of(error) from error
        except UNREACHABLE as error:
            detail = _in_one_line(error)
            answer = problems.unreachable(self.uri, self.endpoint, detail)
            raise Transient(answer, detail) from error
        except WITHOUT_CREDENTIALS as error:
            raise problems.no_credentials(self.uri, _in_one_line(error)) from error
        except botocore.exceptions.BotoCoreError as error:
            raise problems.refused(self.uri, _in_one_line(error)) from error

    @property
    def endpoint(self) -> str:
        """The URL of the store."""
        return str(self.client.meta.endpoint_url)

    @property
    def knows_checksums(self) -> bool:
        """Whether to send S3's newer checksums: AWS_REQUEST_CHECKSUM_CALCULATION."""
        return str(self.client.meta.config.request_checksum_calculation) != "when_required"

    def _error_of(self, error: botocore.exceptions.ClientError) -> InferenceServerError | Transient:
        """The error for an answer with an error code."""
        code, message = _code_of(error), error.response.get("Error", {}).get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        detail = " ".join(f"{error.operation_name}: {code} {message}".split())
        if code in NO_BUCKET:
            return problems.no_bucket(self.uri)
        if code in NO_KEY:
            return problems.no_object(self.uri, self.keys)
        if code in ("PreconditionFailed", "412"):
            return problems.changed(self.uri)
        if code in DENIED or status in (401, 403):
            return problems.denied(self.uri, detail)
        answer = problems.refused(self.uri, detail)
        retryable = code in RETRYABLE or status == 429 or status >= 500
        return Transient(answer, detail) if retryable else answer

    def find(self) -> ObjectState | None:
        """Return the object's state, None if it does not exist."""
        head = self._head()
        if head is None:
            return None
        metadata: Mapping[str, str] = head.get("Metadata", {})
        sha256 = metadata.get(SHA256)
        md5 = None if sha256 else _md5_of(head)
        part_size = None
        if md5 and "-" in md5:
            first = self.ask("head_object", PartNumber=1)
            part_size = int(first["ContentLength"])
            if -(-int(head["ContentLength"]) // part_size) != int(md5.partition("-")[2]):
                md5 = part_size = None  # parts of several sizes
        return ObjectState(
            size=int(head["ContentLength"]),
            etag=str(head["ETag"]),
            version=head.get("VersionId"),
            sha256=sha256,
            md5=md5,
            md5_part_size=part_size,
        )

    def _head(self) -> dict[str, Any] | None:
        """The object's headers; None if the object does not exist, but its bucket does."""

        def once() -> dict[str, Any] | None:
            try:
                answer: dict[str, Any] = self.client.head_object(**self.address)
                return answer
            except botocore.exceptions.ClientError as error:
                if _code_of(error) not in NO_KEY:
                    raise
            # The answer to HEAD has no body, so it does not show which of them is missing.
            try:
                self.client.head_bucket(Bucket=self.uri.bucket)
            except botocore.exceptions.ClientError as error:
                if _code_of(error) in NO_KEY | NO_BUCKET:
                    raise problems.no_bucket(self.uri) from error
            return None

        return self.retried("head_object", once)

    def read(self, state: ObjectState, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of ``[start, end)``, of this state and no other."""
        arguments = {**self.address, "IfMatch": state.etag, "Range": f"bytes={start}-{end - 1}"}
        with self.translated():
            answer = self.client.get_object(**arguments)
            body = answer["Body"]
            try:
                if answer["ContentLength"] != end - start:
                    raise problems.refused(self.uri, "the store does not support ranges of bytes")
                yield from body.iter_chunks(CHUNK)
            finally:
                body.close()

    def keys(self, folder: str) -> list[tuple[str, int]]:
        """Return some of the keys that start with ``folder``; none if listing is denied."""
        try:
            answer = self.client.list_objects_v2(Bucket=self.uri.bucket, Prefix=folder)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            return []  # the keys are for another error, which must not be hidden by this one
        return [(item["Key"], int(item["Size"])) for item in answer.get("Contents", ())]


def _code_of(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _md5_of(head: Mapping[str, Any]) -> str | None:
    """The ETag if it is an MD5, which it is not for objects encrypted with a managed key."""
    etag = str(head["ETag"]).strip('"').lower()
    encrypted = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
    if encrypted or head.get("SSECustomerAlgorithm"):
        return None
    digest, _, parts = etag.partition("-")
    is_md5 = len(digest) == 32 and not set(digest) - set("0123456789abcdef")
    return etag if is_md5 and (not parts or parts.isdigit()) else None


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
