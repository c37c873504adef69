"""Why the hub gave no model: which error each refusal is, and what fixes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from entrypoint import errors
from entrypoint.store.transfer_process.messages import CRASHED, DownloadJob, Failure

KEPT = "files already downloaded are kept"


class Refusal(StrEnum):
    """Why there is no download."""

    REPOSITORY = "repository"
    REVISION = "revision"
    FORMAT = "format"
    NO_MATCH = "no-match"
    NO_SPACE = "no-space"
    STORAGE = "storage"
    CRASHED = CRASHED
    GATED = "gated"
    TOKEN = "token"
    RATE_LIMIT = "rate-limit"
    REFUSED = "refused"
    DAMAGED = "damaged"
    NOT_A_HUB = "not-a-hub"
    UNREACHABLE = "unreachable"


NOT_FOUND = frozenset({Refusal.REPOSITORY, Refusal.REVISION, Refusal.FORMAT, Refusal.NO_MATCH})


_REFUSED = {
    Refusal.CRASHED: (
        "MODEL_ID",
        "The process that downloads {name} ended unexpectedly: {detail}.",
        "See its output above; it may have run out of memory.",
    ),
    Refusal.GATED: (
        "HF_TOKEN",
        "The hub denies access to {name} (MODEL_ID) {with_token}: the model is gated.",
        "Accept its conditions at https://huggingface.co/{name} and set HF_TOKEN to a token of "
        "that account.",
    ),
    Refusal.TOKEN: (
        "HF_TOKEN",
        "The hub does not accept the token{at}: {detail}.",
        "Set HF_TOKEN to a valid token, or leave it empty for a public model.",
    ),
    Refusal.RATE_LIMIT: (
        "HF_TOKEN",
        "The hub limits the requests for {name}{at}: {detail}.",
        f"Try again later; {KEPT}. With HF_TOKEN the limit is higher.",
    ),
    Refusal.REFUSED: (
        "MODEL_ID",
        "The hub refused to send {name}{at}: {detail}.",
        f"If it is an outage, try again later; {KEPT}.",
    ),
    Refusal.DAMAGED: (
        "HF_ENDPOINT",
        "The hub sent other content for {name} than it lists{at}: {detail}.",
        "Try again. If the error comes back, a mirror or a proxy changes the content.",
    ),
    Refusal.NOT_A_HUB: (
        "HF_ENDPOINT",
        "The answer for {name} is not a valid answer of a hub{at}: {detail}.",
        "Check HF_ENDPOINT and the proxy. A network that requires a login also answers like this.",
    ),
    Refusal.UNREACHABLE: (
        "HF_HUB_OFFLINE",
        "The hub did not answer{at}: {detail}.",
        f"Check the network, the proxy and HF_ENDPOINT, then try again; {KEPT}. Without network "
        "access, mount the model and set HF_HUB_OFFLINE=1.",
    ),
}
"""The variable, the message and the hint for each refusal of a hub that has the model."""


def explain(
    failure: Failure, job: DownloadJob, searched: Sequence[errors.SearchedPlace] = ()
) -> errors.InferenceServerError:
    """Return the error for a download that failed.

    Args:
        failure: Why it failed; its kind is a :class:`Refusal`.
        job: What was to be downloaded.
        searched: Where the model was searched before, for the error.
    """
    kind, name = Refusal(failure.kind), job.repository
    if kind in NOT_FOUND:
        return _not_found(kind, failure, job, searched)
    if kind in (Refusal.NO_SPACE, Refusal.STORAGE):
        problem = "not enough disk space" if kind is Refusal.NO_SPACE else "a write failed"
        return errors.StorageError(
            f"Cannot download {name} to {job.root}: {problem}: {failure.detail}.",
            variable="HF_HUB_CACHE",
            hint="Free space there, or set HF_HUB_CACHE to a writable folder with enough space; "
            f"{KEPT}.",
        )
    variable, message, hint = _REFUSED[kind]
    with_token = "with this token" if job.token else "without a token"
    words = {"name": name, "at": _at(job), "detail": failure.detail, "with_token": with_token}
    return errors.HubError(message.format(**words), variable=variable, hint=hint.format(**words))


def _not_found(
    kind: Refusal, failure: Failure, job: DownloadJob, searched: Sequence[errors.SearchedPlace]
) -> errors.ModelNotFound | errors.RevisionNotFound:
    """The error for what the hub does not have."""
    name = job.repository
    attempts = tuple(
        replace(attempt, outcome=f"{kind}: {failure.detail}") if attempt.way == "hub" else attempt
        for attempt in searched
    )
    if kind is Refusal.REVISION:
        text = f"REVISION is {job.revision!r}, which {name} does not have on the hub."
        return errors.RevisionNotFound(
            name,
            job.revision,
            errors.Problem(errors.ProblemKind.MISSING, text),
            attempts,
            hint="Leave REVISION empty, or choose a revision from "
            f"https://huggingface.co/{name}/commits.",
        )
    variable: str | None = None
    if kind is Refusal.REPOSITORY:
        variable = "MODEL_ID"
        message = (
            f"The hub has no model {name!r} (MODEL_ID){_at(job)}, or the model is private and "
            "the token has no access to it."
        )
        hint = "Correct MODEL_ID. For a private model, set HF_TOKEN."
    elif kind is Refusal.FORMAT:
        available = ", ".join(failure.formats) or "no weights"
        message = f"{name} has no weights in the format {job.format}; it has {available}."
        hint = "Correct MODEL_ID."
        if failure.formats:
            hint = f"Choose another format: --format {failure.formats[0]}"
    else:
        patterns = [f"--include {pattern!r}" for pattern in job.include]
        patterns += [f"--exclude {pattern!r}" for pattern in job.exclude]
        message = f"No file of {name} matches {' '.join(patterns)}: {failure.detail}."
        hint = "List the files with: --dry-run --include '*'"
    return errors.ModelNotFound(name, attempts, message=message, variable=variable, hint=hint)


def _at(job: DownloadJob) -> str:
    """Which hub it is, if HF_ENDPOINT is set; without a password in the URL."""
    if job.endpoint is None:
        return ""
    return f" (HF_ENDPOINT={re.sub(r'//[^/@]*@', '//', job.endpoint)})"
