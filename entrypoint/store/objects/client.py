"""Pull an object in a separate process, as a start does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from entrypoint import errors
from entrypoint.store.objects.checksum import COMPARED
from entrypoint.store.progress import OnProgress
from entrypoint.store.transfer_process.messages import CRASHED, Failure, Pulled, PullJob
from entrypoint.store.transfer_process.parent import transfer
from entrypoint.store.uri import without_secret

PULLER = "entrypoint.store.objects.puller"

log = logging.getLogger("inference-server")


def pull_in_child(
    uri: str, target: Path, variable: str, environ: Mapping[str, str], on_progress: OnProgress
) -> None:
    """Pull an object to a file.

    Args:
        uri: The object.
        target: The file.
        variable: The variable that the URI came from, for the error.
        environ: The environment of the process that pulls: the store's credentials.
        on_progress: Called with each change of the bytes that have arrived. What it raises ends
            the pull, which can be resumed.

    Raises:
        InferenceServerError: What :func:`~entrypoint.store.objects.pull.pull` raises.
    """
    result = transfer(PULLER, PullJob(uri, target), environ, on_progress)
    if isinstance(result, Failure):
        raise explain(result, uri, target, variable)
    assert isinstance(result, Pulled)
    log.info("%s is at %s: %s", without_secret(uri), target, COMPARED[result.verified])


def explain(failure: Failure, uri: str, target: Path, variable: str) -> errors.InferenceServerError:
    """Return the error for a pull that failed.

    Args:
        failure: Why it failed; its kind is the ``code`` of the process's error.
        uri: The object.
        target: The file.
        variable: The variable that the URI came from.
    """
    detail, hint = failure.detail, failure.hint
    variable = failure.variable or variable
    if failure.kind == CRASHED:
        return errors.StoreError(
            f"The process that pulls {without_secret(uri)} ended unexpectedly: {detail}.",
            variable=variable,
            hint="See its output above; it may have run out of memory. What has arrived is kept.",
        )
    match failure.kind:
        case errors.RefusedArtifact.code:
            return errors.RefusedArtifact(target, detail, variable=variable, hint=hint)
        case errors.ModelNotFound.code:
            name = without_secret(uri)
            return errors.ModelNotFound(name, message=detail, variable=variable, hint=hint)
        case errors.StorageError.code:
            return errors.StorageError(
                detail,
                variable="XDG_CACHE_HOME",
                hint="Set XDG_CACHE_HOME, or TMPDIR, to a writable folder with enough space.",
            )
    kinds = {kind.code: kind for kind in (errors.MachineError, errors.SettingError)}
    return kinds.get(failure.kind, errors.StoreError)(detail, variable=variable, hint=hint)
