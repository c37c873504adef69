"""The hub: downloading a model to the cache, and what its answers mean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from entrypoint.errors import (
    HubError,
    InferenceServerError,
    MachineError,
    ModelNotFound,
    RevisionNotFound,
    StorageError,
)
from entrypoint.store import downloader
from entrypoint.store.cache import Snapshot
from entrypoint.store.folder import why_unreadable
from entrypoint.store.integrity import check_model
from entrypoint.store.model import Model, Request


def download(model: Model, request: Request, progress: Callable[[int, int], None]) -> Snapshot:
    """Download the model to the first cache root that can be written to.

    Args:
        model: What was found, for the error.
        request: What was asked for.
        progress: Called with the bytes that are there, and their total.

    Raises:
        ModelNotFound: The hub does not have the model, or does not show it to this token.
        RevisionNotFound: The hub does not have the revision.
        HubError: The hub did not answer or refused.
        IncompleteModel: The repository itself is not whole.
        MachineError: No cache root can be written to.
        StorageError: The download cannot be written.
    """
    root = _writable_root(request.cache_roots)
    result = _run(request, root, progress)
    if "failure" in result:
        raise _explain(result["failure"], result["detail"], model, request, root)
    path = Path(result["path"])
    size = check_model(path, hint=f"Its repository is not whole; tell {request.model_id}'s owner.")
    return Snapshot(path, request.model_id, result["commit"], size)


def _writable_root(roots: Sequence[Path]) -> Path:
    """The first root that can be written to; one that does not exist is made."""
    reasons = []
    for root in roots:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reasons.append(f"{root} ({why_unreadable(error)})")
            continue
        if os.access(root, os.W_OK | os.X_OK):
            return root
        reasons.append(f"{root} (not writable for uid {os.geteuid()})")
    raise MachineError(
        "There is no folder to download the model to: "
        + (", ".join(reasons) or "none is set")
        + ".",
        variable="HF_HUB_CACHE",
        hint="Set HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE or HF_HOME to a folder that this user may "
        "write to, such as a mounted volume.",
    )


def _run(request: Request, root: Path, progress: Callable[[int, int], None]) -> dict[str, str]:
    """Run the downloader and return its last line."""
    job = downloader.Job(
        repository=request.model_id,
        revision=request.revision,
        token=request.token,
        root=str(root),
    )
    environment = {
        **os.environ,
        # What was decided counts, not what the environment says twice (TRANSFORMERS_OFFLINE).
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # Its default is in HF_HOME, which often cannot be written to.
        "HF_XET_CACHE": os.environ.get("HF_XET_CACHE") or str(request.scratch / "xet"),
    }
    environment.pop("TRANSFORMERS_OFFLINE", None)
    # -P: this folder's modules must not stand in for others of the same names.
    command = [sys.executable, "-P", downloader.__file__]
    result: dict[str, str] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # By a pipe: arguments and environment can be read by others, the token is a secret.
            with suppress(BrokenPipeError), process.stdin:
                json.dump(job, process.stdin)
            for line in process.stdout:
                message = json.loads(line)
                if "done" in message:
                    progress(message["done"], message["total"])
                else:
                    result = message
        except BaseException:
            process.kill()
            raise
    if not result:
        return {"failure": "crashed", "detail": f"exit status {process.returncode}"}
    return result


def _explain(
    kind: str, detail: str, model: Model, request: Request, root: Path
) -> InferenceServerError:
    """The error for what the downloader said."""
    name = request.model_id
    searched = (
        *model.searched[:-1],
        replace(model.searched[-1], outcome=f"{kind}: {detail}"),
    )
    if kind == "repository":
        return ModelNotFound(
            name,
            searched,
            {},
            None,
            message=f"The hub has no model {name!r} (MODEL_ID), or shows it only to a token "
            "that may see it.",
            hint="Correct MODEL_ID; if the model is private, set HF_TOKEN.",
        )
    if kind == "revision":
        return RevisionNotFound(
            name,
            searched,
            {},
            None,
            message=f"REVISION is {request.revision!r}, which {name} does not have on the hub.",
            variable="REVISION",
            hint=f"Leave REVISION empty, or choose one from https://huggingface.co/{name}/commits.",
        )
    if kind == "storage":
        return StorageError(
            f"Downloading {name} to {root} failed: {detail}.",
            variable="HF_HUB_CACHE",
            hint="Make room there, or set HF_HUB_CACHE to a folder with room that this user may "
            "write to.",
        )
    if kind == "crashed":
        return HubError(
            f"The process that downloads {name} ended by itself: {detail}.",
            variable="MODEL_ID",
            hint="Look at what it printed before; it may have run out of memory.",
        )
    if kind == "gated":
        return HubError(
            f"The hub does not give {name} (MODEL_ID) to this token: it is gated.",
            variable="HF_TOKEN",
            hint=f"Accept its conditions at https://huggingface.co/{name} and set HF_TOKEN to a "
            "token of that account.",
        )
    if kind == "token":
        return HubError(
            f"The hub does not accept the token: {detail}.",
            variable="HF_TOKEN",
            hint="Set HF_TOKEN to a valid token, or leave it empty for a public model.",
        )
    if kind == "refused":
        return HubError(
            f"The hub refused to give {name}: {detail}.",
            variable="MODEL_ID",
            hint="If it is a limit or an outage, start again later.",
        )
    return HubError(
        f"The hub did not answer: {detail}.",
        variable="HF_HUB_OFFLINE",
        hint="Check the network, the proxy and HF_ENDPOINT; without internet, mount the model "
        "and set HF_HUB_OFFLINE=1.",
    )
