"""Pulling in a process of its own, as a start does."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from entrypoint.errors import (
    InferenceServerError,
    MachineError,
    ModelNotFound,
    RefusedArtifact,
    SettingError,
    StorageError,
    StoreError,
)
from entrypoint.store.objects.checksum import SAID
from entrypoint.store.progress import OnProgress, Progress
from entrypoint.store.uri import without_secret

# -P: the folder that this runs in must not lend it modules
COMMAND = (sys.executable, "-P", "-m", "entrypoint.store.objects.puller")
PLAIN = {kind.code: kind for kind in (MachineError, SettingError, StorageError, StoreError)}

log = logging.getLogger("inference-server")


def pull_in_child(uri: str, target: Path, variable: str, on_progress: OnProgress) -> None:
    """Pull an object to a file.

    Args:
        uri: The object.
        target: The file.
        variable: The variable that named it, for the error.
        on_progress: Called with each change of the bytes that have arrived. What it raises ends
            the pull, which can be continued.

    Raises:
        InferenceServerError: What :func:`~entrypoint.store.objects.pull.pull` raises.
    """
    result: dict[str, Any] = {}
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError), process.stdin:
                json.dump({"uri": uri, "target": str(target)}, process.stdin)
            for line in process.stdout:
                message = json.loads(line)
                if "done" in message:
                    on_progress(Progress(message["done"], message["total"]))
                else:
                    result = message
        except BaseException:
            process.kill()
            raise
    if "failure" in result:
        raise _revived(result["failure"], uri, target, variable)
    if "verified" not in result:
        raise StoreError(
            f"The process that pulls {without_secret(uri)} ended by itself: exit status "
            f"{process.returncode}.",
            variable=variable,
            hint="Look at what it printed before; it may have run out of memory. What has arrived "
            "is kept.",
        )
    log.info("%s is at %s: %s", without_secret(uri), target, SAID[result["verified"]])


def _revived(
    failure: Mapping[str, Any], uri: str, target: Path, variable: str
) -> InferenceServerError:
    """The error that the other process has raised."""
    message, hint = str(failure["message"]), failure["hint"]
    variable = failure["variable"] or variable
    if failure["code"] == RefusedArtifact.code:
        return RefusedArtifact(target, failure["problem"], variable=variable, hint=hint)
    if failure["code"] == ModelNotFound.code:
        return ModelNotFound(
            without_secret(uri), (), {}, None, message=message, variable=variable, hint=hint
        )
    if failure["code"] == StorageError.code:
        variable = "XDG_CACHE_HOME"
        hint = "Set XDG_CACHE_HOME, or TMPDIR, to a folder with room that this user may write to."
    kind = PLAIN.get(failure["code"], StoreError)
    return kind(message, variable=variable, hint=hint)
