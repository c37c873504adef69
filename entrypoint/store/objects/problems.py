"""The errors of object stores, worded once for every store."""

from __future__ import annotations

from collections.abc import Callable

from entrypoint.errors import MachineError, ModelNotFound, StoreError
from entrypoint.spelling import nearest
from entrypoint.store.uri import ObjectUri
from entrypoint.units import human_bytes

CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), name a profile "
    "in AWS_PROFILE, or give the pod a role; for a public bucket set awsAnonymousCredential=true.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN "
    "or AZURE_STORAGE_CONNECTION_STRING, or give the pod an identity.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or give the pod a service account.",
}
"""How to fix missing or wrong credentials, by store."""


def no_bucket(uri: ObjectUri) -> ModelNotFound:
    """The bucket does not exist."""
    kind = "container" if uri.store == "az" else "bucket"
    return ModelNotFound(
        str(uri),
        message=f"{uri} does not exist: the store has no {kind} {uri.bucket!r}.",
        variable=None,
        hint=f"Correct the {kind}'s name, the endpoint or the account.",
    )


def no_object(uri: ObjectUri, keys: Callable[[str], list[tuple[str, int]]]) -> ModelNotFound:
    """The object does not exist.

    Args:
        uri: The object.
        keys: Returns ``(key, bytes)`` of objects whose keys start with a text.
    """
    below = keys(f"{uri.key.rstrip('/')}/" if uri.key else "")
    found = below or keys(uri.folder) or keys("")
    sizes = {str(uri.with_key(key)): (human_bytes(size),) for key, size in found}
    near = None
    message, hint = f"{uri} does not exist.", "Correct the key."
    if below:
        message = f"{uri} is a folder, not an object."
        hint = (
            "Name one object, a tarball. To use a folder of files, copy it with the store's own "
            "tools, such as aws s3 cp --recursive, then set MODEL_ID to the copy."
        )
    elif found:
        near = nearest(str(uri), sizes)
    else:
        message = f"{uri} does not exist, and its bucket is empty or may not be listed."
        hint = "Correct the key. The store's own tools list the objects, such as: aws s3 ls"
    return ModelNotFound(str(uri), (), sizes, near, message=message, variable=None, hint=hint)


def denied(uri: ObjectUri, detail: str) -> StoreError:
    """The store denied access."""
    hint = "Request permission to read the object (to push: to read and write it). "
    hint += CREDENTIALS[uri.store]
    if uri.store == "s3":
        hint += " S3 answers the same for a missing key if you may not list the bucket."
    return StoreError(f"The store denies these credentials access to {uri}: {detail}.", hint=hint)


def no_credentials(uri: ObjectUri, detail: str) -> StoreError:
    """No credentials were found."""
    return StoreError(f"No credentials for {uri}: {detail}.", hint=CREDENTIALS[uri.store])


def unreachable(uri: ObjectUri, endpoint: str, detail: str) -> StoreError:
    """The store did not answer."""
    return StoreError(
        f"The store of {uri} did not answer at {endpoint}: {detail}.",
        hint="Check the network, the proxy and the endpoint"
        + (" (S3_ENDPOINT or AWS_ENDPOINT_URL)" if uri.store == "s3" else "")
        + ", then try again; what was transferred is kept.",
    )


def refused(uri: ObjectUri, detail: str) -> StoreError:
    """The store answered with an error."""
    return StoreError(
        f"The store refused the request for {uri}: {detail}.",
        hint="If it is a limit or an outage, try again later; the transfer resumes.",
    )


def changed(uri: ObjectUri) -> StoreError:
    """The object was replaced while it was read."""
    return StoreError(
        f"{uri} changed during the pull.",
        hint="Try again when the upload of the object is complete; the pull starts again from "
        "scratch.",
    )


def missing_extra(uri: ObjectUri, extra: str, error: ModuleNotFoundError) -> MachineError:
    """The package for the store is not installed."""
    return MachineError(
        f"Cannot access {uri}: the package {error.name} is not installed.",
        hint=f"Install it: pip install 'inference-server[{extra}]'",
    )
