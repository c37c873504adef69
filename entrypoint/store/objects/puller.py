"""The process that pulls an object before a start: ``python -m entrypoint.store.objects.puller``.

See :mod:`entrypoint.store.transfer_process.child`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from entrypoint.errors import InferenceServerError, RefusedArtifact
from entrypoint.settings import read_settings
from entrypoint.store.objects.opening import open_store
from entrypoint.store.objects.pull import find_object, pull
from entrypoint.store.progress import Progress
from entrypoint.store.transfer_process.child import Send, reported, serve
from entrypoint.store.transfer_process.messages import Failure, Job, Pulled, PullJob
from entrypoint.store.uri import parse_uri

WORKERS = 8
"""Parts to fetch in parallel."""


def run(job: Job, environ: Mapping[str, str], send: Send) -> Pulled | Failure:
    """Pull the object, and return what was pulled, or why not."""
    assert isinstance(job, PullJob)
    try:
        store = open_store(parse_uri(job.uri), read_settings(environ), WORKERS)
        state = find_object(store)
        progress = Progress(0, state.size)

        def on_progress(changed: Progress) -> None:
            nonlocal progress
            progress = changed

        with reported(lambda: progress, send):
            return pull(store, state, job.target, WORKERS, on_progress)
    except InferenceServerError as error:
        return failure_of(error)


def failure_of(error: InferenceServerError) -> Failure:
    """Return what to send to the parent process for an error."""
    detail = error.problem if isinstance(error, RefusedArtifact) else error.message
    return Failure(error.code, detail, variable=error.variable, hint=error.hint)


if __name__ == "__main__":
    logging.basicConfig(
        format="%(levelname)s %(asctime)s [%(name)s] %(message)s",
        datefmt="%m-%d %H:%M:%S",
        level=logging.WARNING,
    )
    serve(run)
