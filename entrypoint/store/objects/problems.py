"""The errors of object stores, in the words that every store shares."""

from __future__ import annotations

from collections.abc import Callable

from entrypoint.errors import ModelNotFound, StoreError
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
"""What mends missing or wrong credentials, by store."""


def no_bucket(uri: ObjectUri) -> ModelNotFound:
    """The bucket is not there."""
    kind = "container" if uri.store == "az" else "bucket"
    return ModelNotFound(
        str(uri),
        (),
        {},
        None,
        message=f"{uri} is not there: the store has no {kind} {uri.bucket!r}.",
        variable=None,
        hint=f"Correct the {kind}'s name; look also whether endpoint and account are the right "
        "ones.",
    )


def no_object(uri: ObjectUri, keys: Callable[[str], list[tuple[str, int]]]) -> ModelNotFound:
    """The object is not there.

    Args:
        uri: What was asked for.
        keys: Returns ``(key, bytes)`` of objects whose keys begin so.
    """
    below = keys(f"{uri.key.rstrip('/')}/" if uri.key else "")
    there = below or keys(uri.folder) or keys("")
    sizes = {str(uri.with_key(key)): (human_bytes(size),) for key, size in there}
    near = None
    message, hint = f"{uri} is not there.", "Correct the key."
    if below:
        message = f"{uri} is a folder, not an object."
        hint = (
            "Name one object, a tarball. A folder of files is fetched by the store's own tools, "
            "as: aws s3 cp --recursive; then set MODEL_ID to where it is."
        )
    elif there:
        near = nearest(str(uri), sizes)
    else:
        message = f"{uri} is not there, and its bucket is empty or does not say what it holds."
        hint = "Correct the key; list what is there by the store's own tools, as: aws s3 ls"
    return ModelNotFound(str(uri), (), sizes, near, message=message, variable=None, hint=hint)


def denied(uri: ObjectUri, detail: str) -> StoreError:
    """The store said no."""
    return StoreError(
        f"The store does not let these credentials at {uri}: {detail}.",
        hint="Ask for the right to read the object (to push: to write and read it). "
        + CREDENTIALS[uri.store]
        + (
            " S3 says the same of a key that is not there, to who may not list the bucket."
            if uri.store == "s3"
            else ""
        ),
    )


def no_credentials(uri: ObjectUri, detail: str) -> StoreError:
    """There are none to ask with."""
    return StoreError(f"There are no credentials for {uri}: {detail}.", hint=CREDENTIALS[uri.store])


def unreachable(uri: ObjectUri, endpoint: str, detail: str) -> StoreError:
    """The store did not answer."""
    return StoreError(
        f"The store of {uri} did not answer at {endpoint}: {detail}.",
        hint="Check the network, the proxy and the endpoint"
        + (" (AWS_ENDPOINT_URL)" if uri.store == "s3" else "")
        + "; what was transferred is kept, so run it again.",
    )


def refused(uri: ObjectUri, detail: str) -> StoreError:
    """The store answered with an error."""
    return StoreError(
        f"The store refused to serve {uri}: {detail}.",
        hint="If it is a limit or an outage, run it again later: it goes on where it was.",
    )


def changed(uri: ObjectUri) -> StoreError:
    """The object was replaced while it was read."""
    return StoreError(
        f"{uri} was changed while it was pulled.",
        hint="Run it again when the object is whole: it starts anew.",
    )
