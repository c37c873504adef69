"""The process that pulls an object before a start: ``python -m entrypoint.store.objects.puller``.

A process of its own, because the stores' clients take more memory than the runtime may keep.
Standard input is a JSON object ``{"uri", "target"}``, because a URI can hold a secret; standard
output is JSON objects, one a line: ``{"done", "total"}`` in bytes, again and again, then
``{"verified"}`` or ``{"failure"}``, an error's ``as_dict`` with ``problem``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from entrypoint.errors import InferenceServerError, RefusedArtifact
from entrypoint.settings import read_settings
from entrypoint.store.objects.pull import find_object, pull
from entrypoint.store.objects.store import open_store
from entrypoint.store.progress import Progress
from entrypoint.store.uri import parse_uri

SECONDS_BETWEEN_REPORTS = 0.5
WORKERS = 8


def pull_object(text: str, target: Path) -> dict[str, object]:
    """Pull the object, reporting by the way, and return ``{"verified"}``.

    Raises:
        InferenceServerError: It cannot be had.
    """
    store = open_store(parse_uri(text), read_settings(os.environ), WORKERS)
    state = find_object(store)
    done, ended = 0, threading.Event()

    def on_progress(progress: Progress) -> None:
        nonlocal done
        done = progress.done

    def report() -> None:
        while not ended.wait(SECONDS_BETWEEN_REPORTS):
            say({"done": done, "total": state.size})

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        pulled = pull(store, state, target, WORKERS, on_progress)
    finally:
        ended.set()
        reporter.join()
    say({"done": state.size, "total": state.size})
    return {"verified": pulled.verified}


def say(message: Mapping[str, object]) -> None:
    """Tell the parent process. Ends this process if the parent has gone."""
    try:
        print(json.dumps(message), file=sys.__stdout__, flush=True)
    except BrokenPipeError:
        os._exit(1)  # from any thread; the pull must not outlive its parent


def main() -> None:
    """Do the job that standard input says."""
    job = json.load(sys.stdin)
    sys.stdout = sys.stderr  # whatever a library prints is not for the parent
    logging.basicConfig(
        format="%(levelname)s %(asctime)s [%(name)s] %(message)s",
        datefmt="%m-%d %H:%M:%S",
        level=logging.WARNING,
    )
    try:
        result = pull_object(job["uri"], Path(job["target"]))
    except InferenceServerError as error:
        problem = error.problem if isinstance(error, RefusedArtifact) else None
        result = {"failure": {**error.as_dict(), "problem": problem}}
    say(result)


if __name__ == "__main__":
    main()
