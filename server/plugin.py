"""Prepares each of the engine's processes.

A ``vllm.general_plugins`` entry point: vLLM calls :func:`load` in the API server, the engine core,
and every worker.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path

from entrypoint.shared.handover import CODE_VARIABLE, TARBALL_VARIABLE
from server import phases
from server.parent import end_with


def load(environ: Mapping[str, str] = os.environ) -> None:
    """Prepare this process.

    Makes it report phases and end with its parent, restricts remote code to what the launch allows,
    and registers the load format for tarballs.

    Args:
        environ: The environment of this process.
    """
    phases.watch()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)  # a forked process runs no module of ours before this
    allowed = environ.get(CODE_VARIABLE)
    if allowed:
        # lazily, like the loader: it imports transformers
        from server import remote_code

        remote_code.restrict(json.loads(allowed))
    index = environ.get(TARBALL_VARIABLE)
    if index:
        from server import tarball

        tarball.register(Path(index))
