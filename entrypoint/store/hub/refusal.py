"""What the hub's refusals mean: which error each is, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from entrypoint.errors import (
    HubError,
    InferenceServerError,
    ModelNotFound,
    Problem,
    ProblemKind,
    RevisionNotFound,
    StorageError,
)

if TYPE_CHECKING:
    from entrypoint.store.hub.client import Order

GO_ON = "what is there already is not fetched again"


def explain(failed: Mapping[str, Any], order: Order) -> InferenceServerError:
    """The error for what the downloader said.

    Args:
        failed: ``failure``, ``detail`` and perhaps ``formats``; see :mod:`.messages`.
        order: What was to be downloaded.
    """
    kind, detail, name = str(failed["failure"]), str(failed["detail"]), order.repository
    if kind in ("repository", "revision", "format", "nothing"):
        return _not_there(kind, detail, failed.get("formats", ()), order)
    if kind in ("room", "storage"):
        what = "There is too little room" if kind == "room" else "Writing failed"
        return StorageError(
            f"{name} cannot be downloaded to {order.root}. {what}: {detail}.",
            variable="HF_HUB_CACHE",
            hint="Make room there, or set HF_HUB_CACHE to a folder with room that this user may "
            f"write to; {GO_ON}.",
        )
    variable, message, hint = _refused(kind, detail, order)
    return HubError(message, variable=variable, hint=hint)


def _not_there(
    kind: str, detail: str, formats: tuple[str, ...], order: Order
) -> ModelNotFound | RevisionNotFound:
    """The error for what the hub does not have."""
    name = order.repository
    searched = tuple(
        replace(attempt, outcome=f"{kind}: {detail}") if attempt.way == "hub" else attempt
        for attempt in order.searched
    )
    if kind == "revision":
        text = f"REVISION is {order.revision!r}, which {name} does not have on the hub."
        return RevisionNotFound(
            name,
            Problem(ProblemKind.MISSING, text),
            searched,
            hint=f"Leave REVISION empty, or choose one from https://huggingface.co/{name}/commits.",
        )
    variable: str | None = "MODEL_ID"
    if kind == "repository":
        message = (
            f"The hub has no model {name!r} (MODEL_ID){_at(order)}, or shows it only to a token "
            "that may see it."
        )
        hint = "Correct MODEL_ID; if the model is private, set HF_TOKEN."
    elif kind == "format":
        there = ", ".join(formats) or "no weights at all"
        message = f"{name} has no weights in the format {order.format}; it has {there}."
        hint = f"Choose another format: --format {formats[0]}" if formats else "Correct MODEL_ID."
        variable = None
    else:
        patterns = [f"--include {pattern!r}" for pattern in order.include]
        patterns += [f"--exclude {pattern!r}" for pattern in order.exclude]
        message = f"{name}: nothing is left to download by {' '.join(patterns)}: {detail}."
        hint = "List what there is with: --dry-run --include '*'"
        variable = None
    return ModelNotFound(name, searched, {}, None, message=message, variable=variable, hint=hint)


def _refused(kind: str, detail: str, order: Order) -> tuple[str, str, str]:
    """The variable, the message and the hint for an answer that is no model."""
    name = order.repository
    if kind == "crashed":
        return (
            "MODEL_ID",
            f"The process that downloads {name} ended by itself: {detail}.",
            "Look at what it printed before; it may have run out of memory.",
        )
    if kind == "gated":
        whom = "to this token" if order.token else "without a token"
        return (
            "HF_TOKEN",
            f"The hub does not give {name} (MODEL_ID) {whom}: it is gated.",
            f"Accept its conditions at https://huggingface.co/{name} and set HF_TOKEN to a "
            "token of that account.",
        )
    if kind == "token":
        return (
            "HF_TOKEN",
            f"The hub does not accept the token{_at(order)}: {detail}.",
            "Set HF_TOKEN to a valid token, or leave it empty for a public model.",
        )
    if kind == "limit":
        return (
            "HF_TOKEN",
            f"The hub asks to wait before more of {name} is fetched{_at(order)}: {detail}.",
            f"Run the same again later, {GO_ON}; with HF_TOKEN set the limit is higher.",
        )
    if kind == "refused":
        return (
            "MODEL_ID",
            f"The hub refused to give {name}{_at(order)}: {detail}.",
            f"If it is an outage, run the same again later; {GO_ON}.",
        )
    if kind == "damaged":
        return (
            "HF_ENDPOINT",
            f"The hub did not send {name} as it lists it{_at(order)}: {detail}.",
            "Run the same again; if it happens again, the mirror or proxy in between changes "
            "what it passes on.",
        )
    if kind == "nonsense":
        return (
            "HF_ENDPOINT",
            f"What answered for {name} is not a hub, or not one to trust{_at(order)}: {detail}.",
            "Check HF_ENDPOINT and the proxy; a network that wants a login answers so too.",
        )
    return (
        "HF_HUB_OFFLINE",
        f"The hub did not answer{_at(order)}: {detail}.",
        f"Check the network, the proxy and HF_ENDPOINT, and run the same again: {GO_ON}. Without "
        "internet, mount the model and set HF_HUB_OFFLINE=1.",
    )


def _at(order: Order) -> str:
    """Which hub it is, where that was set; without a password in the address."""
    if order.endpoint is None:
        return ""
    return f" (HF_ENDPOINT={re.sub(r'//[^/@]*@', '//', order.endpoint)})"
